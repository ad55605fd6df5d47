import { join, normalize } from 'node:path';
import type { ContainerState, ContainerStatus } from '@wherry/runtime';
import type { ContainerRecord, SandboxRecord } from './state/records.ts';

const states = {
  creating: 'unknown',
  created: 'created',
  starting: 'created',
  running: 'running',
  exited: 'exited',
  removing: 'unknown',
} as const satisfies Record<ContainerRecord['phase'], ContainerState>;

/** Host path of a container's log; a path that leaves the sandbox's folder is put back beneath it. */
export function logPathOf(record: ContainerRecord, sandbox: SandboxRecord): string {
  return record.config.logPath === '' ? '' : join(sandbox.config.logDirectory, normalize(`/${record.config.logPath}`));
}

export function containerStatus(record: ContainerRecord, sandbox: SandboxRecord): ContainerStatus {
  const { config } = record;
  return {
    id: record.id,
    sandboxId: record.sandboxId,
    metadata: config.metadata,
    state: record.phase === 'starting' && record.finishedAt !== undefined ? 'exited' : states[record.phase],
    createdAt: record.createdAt,
    startedAt: record.startedAt,
    finishedAt: record.finishedAt,
    exitCode: record.exitCode,
    reason: record.reason,
    message: record.message,
    oomKilled: record.oomKilled === true,
    image: config.image,
    imageId: record.imageId,
    labels: config.labels,
    annotations: config.annotations,
    logPath: logPathOf(record, sandbox),
    pid: record.phase === 'running' ? record.process?.pid : undefined,
    mounts: config.mounts,
  };
}
