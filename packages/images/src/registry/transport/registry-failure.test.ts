import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { codeOf } from '@wherry/base';
import { parseReference } from '@wherry/oci';
import { describe, expect, it } from 'vitest';
import { failureOf, tokenRefusal } from './registry-failure.ts';
import type { RegistryResponse } from './request.ts';

const host = '127.0.0.1:5000';

function answer(status: number, body: string, headers: Record<string, string> = {}, reason = ''): RegistryResponse {
  const message = Object.assign(Readable.from([Buffer.from(body)]), { statusMessage: reason });
  return { status, headers, body: message as unknown as IncomingMessage };
}

const json = { 'content-type': 'application/json; charset=utf-8' };
const plain = { 'content-type': 'text/plain' };
const errors = (...all: object[]): string => JSON.stringify({ errors: all });

async function failure(method: string, response: RegistryResponse, isAuthorized = false): Promise<[string, unknown]> {
  const url = new URL(`http://${host}/v2/a/b/manifests/1`);
  const reference = parseReference(`${host}/a/b:1`);
  const error = await failureOf({ response, method, url, reference, isAuthorized }, 'docker');
  return [error.message, codeOf(error)];
}

// Each as dockerd 26.1 said it of the same answer.
describe('what a registry answers is told in the words of dockerd', () => {
  const name = `${host}/a/b`;
  const denied = `pull access denied for ${name}, repository does not exist or may require 'docker login'`;
  it.each([
    [
      404,
      errors({ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown', detail: {} }),
      json,
      `manifest for ${name}:1 not found: manifest unknown: manifest unknown`,
    ],
    [404, errors({ code: 'MANIFEST_UNKNOWN', message: '' }), json, 'manifest unknown'],
    [
      404,
      errors({ code: 'MANIFEST_UNKNOWN', message: 'one' }, { code: 'DENIED', message: 'two' }),
      json,
      `manifest for ${name}:1 not found: manifest unknown: one`,
    ],
    [
      404,
      errors({ code: 'NAME_UNKNOWN', message: 'gone', detail: {} }),
      json,
      `repository ${name} not found: name unknown: gone`,
    ],
    [403, errors({ code: 'DENIED', message: 'you may not' }), json, `${denied}: denied: you may not`],
    [403, errors({ code: 'DENIED', message: 'requested access to the resource is denied' }), json, 'denied'],
    [403, 'plain words', plain, `${denied}: denied: plain words`],
    [401, errors({ code: 'UNAUTHORIZED', message: 'authentication required' }), json, 'unauthorized'],
    [401, 'plain words', plain, 'unauthorized: plain words'],
    [401, '{', json, 'unauthorized'],
    [400, errors({ code: 'MANIFEST_INVALID', message: 'manifest invalid' }), json, 'manifest invalid'],
    [418, errors({ code: 'TEAPOT', message: 'I am a teapot' }), json, 'unknown: I am a teapot'],
    [429, errors({ code: 'TOOMANYREQUESTS', message: 'slow down' }), json, 'toomanyrequests: slow down'],
    [429, 'plain words', plain, 'toomanyrequests: plain words'],
    [404, '<html>nope</html>', { 'content-type': 'text/html' }, 'unknown: <html>nope</html>'],
    [
      404,
      errors(),
      json,
      'error parsing HTTP 404 response body: no error details found in HTTP response body: "{\\"errors\\":[]}"',
    ],
    [
      400,
      '<html>',
      json,
      `error parsing HTTP 400 response body: invalid character '<' looking for beginning of value: "<html>"`,
    ],
    [400, '{"details":"of old"}', json, 'unknown: of old'],
    [503, 'x', plain, 'received unexpected HTTP status: 503'],
  ])('%i %s', async (status, body, headers, words) => {
    expect((await failure('GET', answer(status, body, headers)))[0]).toBe(words);
  });

  it('by what a challenge says of a token', async () => {
    const challenge = { ...json, 'www-authenticate': 'Bearer realm="http://x/token",error="insufficient_scope"' };
    const response = () => answer(401, errors({ code: 'UNAUTHORIZED', message: 'authentication required' }), challenge);
    const words = 'denied: requested access to the resource is denied';
    expect((await failure('PUT', response(), true))[0]).toBe(words);
    expect((await failure('GET', response(), true))[0]).toBe(`${denied}: ${words}`);
  });

  it('before credentials for a basic challenge are there', async () => {
    const basic = { ...json, 'www-authenticate': 'Basic realm="x"' };
    const words = `Head "http://${host}/v2/a/b/manifests/1": no basic auth credentials`;
    expect(await failure('HEAD', answer(401, '', basic))).toEqual([words, 'unauthorized']);
    expect((await failure('GET', answer(401, errors({ code: 'UNAUTHORIZED' }), basic), true))[0]).toBe('unauthorized');
  });

  it('with codes that say whether another try may help', async () => {
    expect((await failure('PUT', answer(503, '', {}, 'Service Unavailable')))[1]).toBe('unavailable');
    expect((await failure('PUT', answer(429, '', plain)))[1]).toBe('unavailable');
    expect((await failure('PUT', answer(403, '', plain)))[1]).toBe('unauthorized');
    expect((await failure('PUT', answer(400, '', plain)))[1]).toBe('invalid');
  });

  it('of a server of tokens, too', () => {
    const body = Buffer.from('{"details":"incorrect username or password"}');
    expect(tokenRefusal(answer(401, '', json), body)).toBe('unauthorized: incorrect username or password');
    expect(tokenRefusal(answer(500, '', {}, 'Internal Server Error'), body)).toBe(
      'received unexpected HTTP status: 500 Internal Server Error',
    );
  });
});
