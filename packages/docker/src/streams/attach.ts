import { WherryError } from '@wherry/base';
import { framedLog, plainLog, readLog } from '@wherry/logs';
import type { StreamSession } from '@wherry/runtime';
import type { Container } from '../containers/container.ts';
import type { AttachedStreams, AttachRequest } from '../containers/containers.ts';
import { type DockerContext, tell } from '../containers/context.ts';
import { parseDetachKeys } from './detach-keys.ts';
import { guardedSession } from './guarded-session.ts';
import { logFileOf } from './logs.ts';

/** Joins a container's stdio, now or, when it does not run, with its next start. */
export async function attachContainer(
  context: DockerContext,
  container: Container,
  request: AttachRequest,
): Promise<AttachedStreams> {
  if (container.phase === 'paused')
    throw new WherryError('conflict', `container ${container.id} is paused, unpause the container before attach`);
  const keys = parseDetachKeys(request.detachKeys);
  const { Tty: tty, OpenStdin, StdinOnce } = container.record.config;
  const earlier = request.logs ? earlierOutput(context, container, request) : undefined;
  if (!request.stream) return { tty, session: nothing(), earlier, [Symbol.asyncDispose]: async () => undefined };
  const { stdout, stderr } = request;
  const joined = await context.engine.attachEarly(container.id, {
    tty,
    stdin: request.stdin && OpenStdin,
    stdout,
    stderr,
  });
  tell(context, container, 'attach');
  const session = guardedSession(joined, {
    passEnd: StdinOnce && !tty,
    detachKeys: tty ? keys : undefined,
    onDetach: () => tell(context, container, 'detach'),
  });
  const { detached } = session;
  return { tty, session, earlier, detached, [Symbol.asyncDispose]: () => session[Symbol.asyncDispose]() };
}

function earlierOutput(
  context: DockerContext,
  container: Container,
  { stdout, stderr }: AttachRequest,
): AsyncIterable<Buffer> {
  const batches = readLog(logFileOf(context, container), { stdout, stderr });
  return container.record.config.Tty ? plainLog(batches, {}) : framedLog(batches, {});
}

function nothing(): StreamSession {
  return {
    stdin: undefined,
    stdout: undefined,
    stderr: undefined,
    exit: Promise.resolve(0),
    resize: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
