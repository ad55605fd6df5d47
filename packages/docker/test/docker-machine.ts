import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DisposalStack, jsonLogger, systemClock, systemRandom } from '@wherry/base';
import { applyChanges } from '@wherry/builder';
import { createEngine, type Engine } from '@wherry/engine';
import { type ImageStore, openImageStore } from '@wherry/images';
import { mountsBelow, openCgroups } from '@wherry/linux';
import type { ContainerNetworks, PodNetwork } from '@wherry/network';
import { rootOf, type UserMappings } from '@wherry/runtime';
import { makeBusyboxImage } from '@wherry/testkit';
import { type NamedVolumes, openNamedVolumes } from '@wherry/volumes';
import {
  createContainerFiles,
  createDockerContainers,
  createEventLog,
  type DockerEvent,
  type EventLog,
  type OpenDockerContainers,
  systemNanoClock,
} from '../src/index.ts';
import { MemoryNetworks } from './memory-networks.ts';

/** Docker's containers on a real engine, real images and real volumes, in folders of their own. */
export interface DockerMachine extends AsyncDisposable {
  readonly folder: string;
  readonly containers: OpenDockerContainers;
  readonly engine: Engine;
  readonly images: ImageStore;
  readonly networks: ContainerNetworks;
  readonly volumes: NamedVolumes;
  readonly events: EventLog;
  /** Docker's part begins anew, as after a crash, while the containers go on. */
  reopen(): Promise<void>;
  /** What has happened so far, as `ACTION` of containers. */
  happened(): Promise<string[]>;
}

const noPods = {
  add: async () => ({ ips: [], gateway: '', mac: '' }),
  del: async () => undefined,
  reconcile: async () => undefined,
} as unknown as PodNetwork;

/** `users`: those of containers that do not ask for the machine's. */
export async function dockerMachine({ users }: { readonly users?: UserMappings } = {}): Promise<DockerMachine> {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-docker-'));
  if (users !== undefined) chmodSync(folder, 0o711);
  const cgroupParent = `/wt-${systemRandom.hex(8)}`;
  const log = jsonLogger((line) => process.stderr.write(`${line}\n`), 'warn');
  const stack = new DisposalStack(log);
  const images = stack.use(await openImageStore({ directory: join(folder, 'images'), log }));
  await makeBusyboxImage(images, 'busybox:latest');
  const directories = { rootDirectory: join(folder, 'engine'), runDirectory: join(folder, 'run') };
  const engine = stack.use(await createEngine({ ...directories, cgroupParent, images, network: noPods, log }));
  const volumes = stack.use(
    await openNamedVolumes({
      ...{ root: join(folder, 'docker'), clock: systemClock, random: systemRandom, log },
      owner: users && rootOf(users),
    }),
  );
  const networks = new MemoryNetworks();
  const now = systemNanoClock();
  const events = createEventLog({ clock: systemClock, now });
  const rootDirectory = join(folder, 'docker', 'containers');
  const open = (): Promise<OpenDockerContainers> =>
    createDockerContainers({
      ...{ rootDirectory, engine, networks, volumes, images, events, now, log, users },
      files: createContainerFiles,
      applyChanges,
      runtimes: ['runc'],
    });
  let containers = await open();
  return {
    ...{ folder, engine, images, networks, volumes, events },
    get containers() {
      return containers;
    },
    reopen: async () => {
      containers = await open();
    },
    happened: () => actionsOf(events),
    [Symbol.asyncDispose]: async () => {
      await containers[Symbol.asyncDispose]();
      await engine.destroyAll();
      await stack[Symbol.asyncDispose]();
      const left = {
        mounts: mountsBelow(folder).map(({ mountPoint }) => mountPoint),
        cgroup: openCgroups().exists(cgroupParent),
        holds: readdirSync(join(folder, 'images/holds')),
      };
      rmSync(folder, { recursive: true, force: true });
      if (JSON.stringify(left) !== JSON.stringify({ mounts: [], cgroup: false, holds: [] }))
        throw new Error(`left behind: ${JSON.stringify(left)}`);
    },
  };
}

async function actionsOf(events: EventLog): Promise<string[]> {
  const found: DockerEvent[] = [];
  const range = { since: 0n, until: BigInt(Date.now()) * 1_000_000n };
  for await (const event of events.read(range, new AbortController().signal)) found.push(event);
  return found.filter(({ Type }) => Type === 'container').map(({ Action }) => Action);
}
