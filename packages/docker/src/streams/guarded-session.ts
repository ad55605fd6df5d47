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

/** A session whose input is looked at on its way. */
export function guardedSession(session: StreamSession, options: GuardOptions): StreamSession {
  const { stdin } = session;
  if (stdin === undefined) return session;
  const scanner = options.detachKeys === undefined ? undefined : new DetachKeyScanner(options.detachKeys);
  const detached = deferred<number>();
  const input = new Writable({
    write(chunk: Buffer, _encoding, done) {
      const { pass, found } = scanner?.take(chunk) ?? { pass: chunk, found: false };
      const after = (error?: Error | null): void => {
        if (found) {
          options.onDetach();
          detached.resolve(0);
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
    exit: Promise.race([session.exit, detached.promise]),
    resize: (size) => session.resize(size),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}
