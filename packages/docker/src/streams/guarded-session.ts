import { Writable } from 'node:stream';
import { deferred } from '@wherry/base';
import type { StreamSession } from '@wherry/runtime';
import { DetachKeyScanner } from './detach-keys.ts';

export interface GuardOptions {
  /** Whether the end of the client's input is the end of the container's. */
  readonly passEnd: boolean;
  /** Keys that end the session and leave the container running; only with a terminal. */
  readonly detachKeys: Uint8Array | undefined;
  readonly onDetach: () => void;
}

export interface GuardedSession extends StreamSession {
  /** Resolves when the client has typed the keys. */
  readonly detached: Promise<void>;
}

/** A session whose input is looked at on its way. */
export function guardedSession(session: StreamSession, options: GuardOptions): GuardedSession {
  const { stdin } = session;
  if (stdin === undefined) return { ...session, detached: new Promise(() => undefined) };
  const scanner = options.detachKeys === undefined ? undefined : new DetachKeyScanner(options.detachKeys);
  const detached = deferred<void>();
  const input = new Writable({
    write(chunk: Buffer, _encoding, done) {
      const { pass, found } = scanner?.take(chunk) ?? { pass: chunk, found: false };
      const after = (error?: Error | null): void => {
        if (found) {
          options.onDetach();
          detached.resolve();
          session[Symbol.asyncDispose]().then(
            () => done(error),
            () => done(error),
          );
        } else done(error);
      };
      if (pass.length === 0) after();
      else stdin.write(pass, after);
    },
    final(done) {
      if (options.passEnd) stdin.end(() => done());
      else done();
    },
  });
  stdin.on('error', (error) => input.destroy(error));
  stdin.once('close', () => input.destroy());
  input.on('error', () => undefined);
  return {
    ...session,
    stdin: input,
    detached: detached.promise,
    exit: Promise.race([session.exit, detached.promise.then(() => 0)]),
    resize: (size) => session.resize(size),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}
