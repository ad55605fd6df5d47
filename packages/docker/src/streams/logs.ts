import { join } from 'node:path';
import { WherryError } from '@wherry/base';
import { framedLog, plainLog, readLog } from '@wherry/logs';
import { logAttributes } from '../config/log-config.ts';
import { renderTag } from '../config/log-expressions.ts';
import type { Container } from '../containers/container.ts';
import type { LogsRequest } from '../containers/containers.ts';
import type { DockerContext } from '../containers/context.ts';
import { logName } from '../mapping/engine-config.ts';

export function logFileOf({ store }: DockerContext, { id }: Container): string {
  return join(store.folder(id), logName);
}

/** A container's log, ready for the wire. */
export function containerLogs(
  context: DockerContext,
  container: Container,
  request: LogsRequest,
  ended: (container: Container) => Promise<void>,
): { readonly tty: boolean; readonly output: AsyncIterable<Buffer> } {
  const { config, host } = container.record;
  if (!request.stdout && !request.stderr)
    throw new WherryError('invalid', 'Bad parameters: you must choose at least one stream');
  if (host.LogConfig.Type === 'none')
    throw new WherryError('unsupported', 'configured logging driver does not support reading');
  if (container.phase === 'dead' || container.phase === 'removing')
    throw new WherryError('conflict', 'can not get logs from container which is dead or marked for removal');
  const { stdout, stderr, since, until, tail, signal } = request;
  const follow = request.follow && (container.alive || container.phase === 'restarting');
  const batches = readLog(logFileOf(context, container), {
    stdout,
    stderr,
    since,
    until,
    tail,
    follow,
    signal,
    ...(follow ? { ended: ended(container) } : {}),
    clock: context.clock,
  });
  const attributes = logAttributes(host.LogConfig.Config, config.Labels, config.Env ?? []);
  const tag = renderTag(host.LogConfig.Config.tag ?? '', {
    id: container.id,
    name: container.name,
    imageId: container.record.imageId,
    imageName: config.Image,
    command: [container.record.path, ...container.record.args],
    hostname: context.host.hostname,
  });
  if (tag) attributes.tag = tag;
  const details = Object.entries(attributes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${queryEscaped(key)}=${queryEscaped(value)}`)
    .join(',');
  const style = {
    timestamps: request.timestamps,
    joined: !request.follow,
    ...(request.details ? { details: `${details} ` } : {}),
  };
  return { tty: config.Tty, output: config.Tty ? plainLog(batches, style) : framedLog(batches, style) };
}

/** As Go's `url.QueryEscape`. */
function queryEscaped(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}
