import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, type Logger, messageOf } from '@wherry/base';
import type { RuntimeService } from '@wherry/runtime';
import type { PodVolumes } from '@wherry/volumes';
import { podLabels } from './pod/labels.ts';

export interface OrphanOptions {
  readonly runtime: RuntimeService;
  readonly volumes: PodVolumes;
  readonly rootDirectory: string;
  readonly logDirectory: string;
  readonly log: Logger;
  /** Uids of the pods that belong on this node. */
  readonly known: () => ReadonlySet<string>;
}

/** Removes what pods left behind that went while nobody watched: sandboxes, volumes, logs. */
export async function removeOrphans({
  runtime,
  volumes,
  rootDirectory,
  logDirectory,
  log,
  known,
}: OrphanOptions): Promise<void> {
  const sandboxes = (await runtime.listPodSandboxes()).filter((sandbox) =>
    isOrphan(sandbox.labels[podLabels.uid], known()),
  );
  await Promise.all(
    sandboxes.map(async (sandbox) => {
      try {
        log.info('removing a pod that is gone', { pod: `${sandbox.metadata.namespace}/${sandbox.metadata.name}` });
        const containers = await runtime.listContainers({ sandboxId: sandbox.id });
        await Promise.all(
          containers
            .filter(({ state }) => state === 'running')
            .map(({ id, annotations }) =>
              runtime.stopContainer(id, Math.min(Number(annotations[podLabels.gracePeriod] ?? 30) || 0, 30)),
            ),
        );
        await runtime.stopPodSandbox(sandbox.id);
        await runtime.removePodSandbox(sandbox.id);
      } catch (error) {
        log.warn('cannot remove a sandbox', { id: sandbox.id, error: messageOf(error) });
      }
    }),
  );
  for (const uid of await names(rootDirectory)) {
    if (known().has(uid)) continue;
    await volumes
      .remove(uid)
      .catch((error: unknown) => log.warn('cannot remove volumes', { uid, error: messageOf(error) }));
  }
  for (const name of await names(logDirectory)) {
    const uid = name.split('_').at(-1) ?? '';
    if (/^[0-9a-f-]{36}$/.test(uid) && !known().has(uid))
      await rm(join(logDirectory, name), { recursive: true, force: true });
  }
}

function isOrphan(uid: string | undefined, known: ReadonlySet<string>): boolean {
  // Sandboxes without the label are not a kubelet's.
  return uid !== undefined && !known.has(uid);
}

async function names(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
