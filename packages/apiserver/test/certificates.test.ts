import { Agent, request } from 'node:https';
import type { ApiServer, ApiServerOptions } from '@wherry/apiserver';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { certificates, makeCertificate, startServer } from './cluster.ts';

let server: ApiServer;
let tls: ApiServerOptions['tls'];

beforeEach(async () => {
  tls = await certificates();
  server = await startServer();
  await server.listen({ host: '127.0.0.1', port: 0 });
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

/** Who the server says that this agent's owner is. */
function whoAmI(agent: Agent): Promise<{ code: number; name: string; reused: boolean }> {
  const body = JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' });
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        agent,
        host: '127.0.0.1',
        port: server.address!.port,
        method: 'POST',
        path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
        headers: { 'content-type': 'application/json', 'content-length': body.length },
      },
      (answer) => {
        const reused = (answer.socket as import('node:tls').TLSSocket).isSessionReused();
        let text = '';
        answer.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        answer.on('end', () =>
          resolve({ code: answer.statusCode!, name: JSON.parse(text).status?.userInfo?.username, reused }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'a certificate stands for its user, also when the session is resumed (%s)',
  async (version) => {
    const agent = new Agent({
      keepAlive: false,
      ca: tls.cert,
      cert: tls.cert,
      key: tls.key,
      minVersion: version,
      maxVersion: version,
    });
    expect(await whoAmI(agent)).toEqual({ code: 201, name: 'cert:test', reused: false });
    expect(await whoAmI(agent)).toEqual({ code: 201, name: 'cert:test', reused: true });
  },
);

test('a certificate of another authority is refused', async () => {
  const other = await makeCertificate();
  const agent = new Agent({ keepAlive: false, ca: tls.cert, cert: other.cert, key: other.key });
  expect((await whoAmI(agent)).code).toBe(401);
});
