import { logPathOf } from '../container-status.ts';
import type { EngineContext } from '../context.ts';
import type { ContainerRecord, SandboxRecord } from '../state/records.ts';
import { reopenLog } from '../streams/attach.ts';
import { RotatedLog } from './rotated-log.ts';

/** Begins to keep a running container's log within its limits; `undefined` for one without. */
export function rotatedLogOf(
  { paths, clock, log }: EngineContext,
  record: ContainerRecord,
  sandbox: SandboxRecord,
): RotatedLog | undefined {
  const limits = record.config.logRotation;
  const path = logPathOf(record, sandbox);
  if (limits === undefined || limits.maxBytes <= 0 || path === '') return undefined;
  return new RotatedLog({ path, limits, clock, log, reopen: () => reopenLog(paths.container(record.id)) });
}
