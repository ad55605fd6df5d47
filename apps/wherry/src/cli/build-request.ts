import { type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { deferred, errnoOf, WherryError } from '@wherry/base';
import type { BuildMessage } from './build-display.ts';

export interface BuildCall {
  readonly query: URLSearchParams;
  /** The context; none where the daemon fetches it. */
  readonly body: AsyncIterable<Uint8Array> | undefined;
  /** Value of `X-Registry-Config`. */
  readonly logins: string;
  /** Value of `X-Build-Secrets`. */
  readonly secrets: string;
  /** Gives the exit code where the message is the end of a build that failed. */
  readonly onMessage: (message: BuildMessage) => number | undefined;
}

/** Asks a daemon for a build by docker's API; gives the exit code. Throws `unavailable`, `invalid`. */
export async function postBuild(socketPath: string, call: BuildCall): Promise<number> {
  const { query, body, logins, secrets, onMessage } = call;
  const { promise: response, resolve, reject } = deferred<IncomingMessage>();
  response.catch(() => undefined);
  const headers = { 'Content-Type': 'application/x-tar', 'X-Registry-Config': logins, 'X-Build-Secrets': secrets };
  const outgoing = request({ socketPath, method: 'POST', path: `/build?${query}`, headers });
  outgoing.on('response', resolve);
  outgoing.on('error', (error) => reject(unreachable(error)));
  // A daemon that refuses answers before it has read everything: its answer counts, not the broken pipe. A context
  // that cannot be read ends the request.
  let unreadable: unknown;
  const watched = body && readable(body, (error) => (unreadable = error));
  const sent = watched ? pipeline(Readable.from(watched, { objectMode: false }), outgoing) : undefined;
  sent?.catch(() => undefined);
  if (!sent) outgoing.end();
  try {
    return await readAnswer(await response, onMessage);
  } catch (error) {
    throw unreadable ?? error;
  } finally {
    outgoing.destroy();
  }
}

async function* readable(
  body: AsyncIterable<Uint8Array>,
  onError: (error: unknown) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body;
  } catch (error) {
    onError(error);
    throw error;
  }
}

async function readAnswer(response: IncomingMessage, onMessage: BuildCall['onMessage']): Promise<number> {
  const lines = createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY });
  let code = 0;
  for await (const line of lines) {
    if (line === '') continue;
    const message = JSON.parse(line) as BuildMessage & { message?: string };
    if (response.statusCode !== 200) throw new WherryError('conflict', message.message ?? line);
    code = onMessage(message) ?? code;
  }
  if (!response.complete) throw new WherryError('unavailable', 'the daemon ended before the build was done');
  return code;
}

function unreachable(error: Error): Error {
  const absent = ['ENOENT', 'ECONNREFUSED'].includes(errnoOf(error) ?? '');
  return absent ? new WherryError('unavailable', 'the cluster is not running', { cause: error }) : error;
}
