import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DisposalStack, jsonLogger, systemRandom, WherryError } from '@wherry/base';
import { createEngine, type Engine } from '@wherry/engine';
import { type ImageStore, openImageStore } from '@wherry/images';
import { mountsBelow, openCgroups, readFileBeneath } from '@wherry/linux';
import type { PodNetwork } from '@wherry/network';
import { makeBusyboxImage } from '@wherry/testkit';
import { type BuildEvent, type Builder, type BuildRequest, createBuilder, createEngineRunner } from '../src/index.ts';

/** A builder with a real engine and a real store, in folders of its own; steps have no network but loopback. */
export interface BuildMachine extends AsyncDisposable {
  readonly folder: string;
  readonly builder: Builder;
  readonly images: ImageStore;
  readonly engine: Engine;
  /** Addresses that steps asked for. */
  readonly connected: string[];
  /** Builds and gives the lines that docker's classic builder would print. */
  build(dockerfile: string, options?: BuildOptions): Promise<BuildOutcome>;
  /** What a file of an image holds. */
  read(image: string, path: string): Promise<string | undefined>;
  reopen(): Promise<void>;
}

export interface BuildOptions extends Partial<BuildRequest> {
  readonly files?: Readonly<Record<string, string>> | undefined;
}

export interface BuildOutcome {
  readonly imageId: string;
  readonly lines: readonly string[];
  readonly events: readonly BuildEvent[];
  readonly error: { readonly message: string; readonly code: string; readonly details?: unknown } | undefined;
}

const noPods: PodNetwork = {
  add: async () => ({ ips: [], gateway: '', mac: '' }),
  del: async () => undefined,
  reconcile: async () => undefined,
} as unknown as PodNetwork;

export async function buildMachine(): Promise<BuildMachine> {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-build-'));
  const cgroupParent = `/wt-${systemRandom.hex(8)}`;
  const log = jsonLogger((line) => process.stderr.write(`${line}\n`), 'warn');
  const stack = new DisposalStack(log);
  const images = stack.use(await openImageStore({ directory: join(folder, 'images'), log }));
  await makeBusyboxImage(images, 'busybox:latest');
  const engine = stack.use(
    await createEngine({
      rootDirectory: join(folder, 'engine'),
      runDirectory: join(folder, 'run'),
      cgroupParent,
      images,
      network: noPods,
      log,
    }),
  );
  const connected: string[] = [];
  const open = (): Promise<Builder> =>
    createBuilder({
      directory: join(folder, 'builder'),
      runDirectory: join(folder, 'run-builder'),
      images,
      log,
      runner: createEngineRunner({
        engine,
        runDirectory: join(folder, 'run-steps'),
        log,
        network: {
          resolvConf: () => 'nameserver 10.9.9.1\n',
          connect: async (network, { id }) => {
            connected.push(`${network} ${id}`);
            return { address: '10.9.9.9' };
          },
          disconnect: async (network, id) => {
            const at = connected.indexOf(`${network} ${id}`);
            if (at >= 0) connected.splice(at, 1);
          },
          container: async (reference) => {
            throw new WherryError('notFound', `No such container: ${reference}`);
          },
          machineHosts: () => '10.9.9.2\thost\n',
          gateway: () => '10.9.9.8',
        },
      }),
    });
  let builder = await open();
  return {
    folder,
    images,
    engine,
    connected,
    get builder() {
      return builder;
    },
    reopen: async () => {
      builder = await open();
    },
    build: (dockerfile, options) => buildIn(folder, builder, dockerfile, options),
    read: (image, path) => readIn(images, image, path),
    [Symbol.asyncDispose]: async () => {
      await engine.destroyAll();
      await stack[Symbol.asyncDispose]();
      const left = {
        mounts: mountsBelow(folder).map(({ mountPoint }) => mountPoint),
        cgroup: openCgroups().exists(cgroupParent),
        connected,
        work: readdirSync(join(folder, 'builder')).filter((name) => !/^(?:steps\.json|cache-mounts|work)$/.test(name)),
        builds: [join(folder, 'builder/work'), join(folder, 'run-builder')].flatMap((path) => {
          try {
            return readdirSync(path);
          } catch {
            return [];
          }
        }),
        holds: readdirSync(join(folder, 'images/holds')),
      };
      rmSync(folder, { recursive: true, force: true });
      const nothing = { mounts: [], cgroup: false, connected: [], work: [], builds: [], holds: [] };
      if (JSON.stringify(left) !== JSON.stringify(nothing)) throw new Error(`left behind: ${JSON.stringify(left)}`);
    },
  };
}

/** The request that most tests make. */
export function requestOf(context: string, dockerfile: string, options: Partial<BuildRequest> = {}): BuildRequest {
  return {
    context,
    dockerfile,
    dockerfileName: 'Dockerfile',
    tags: [],
    buildArguments: {},
    labels: {},
    noCache: false,
    pull: false,
    cacheFrom: [],
    networkMode: 'none',
    extraHosts: [],
    auth: () => undefined,
    onProgress: () => undefined,
    signal: new AbortController().signal,
    ...options,
  };
}

async function buildIn(
  folder: string,
  builder: Builder,
  dockerfile: string,
  { files = {}, ...options }: BuildOptions = {},
): Promise<BuildOutcome> {
  const context = mkdtempSync(join(folder, 'context-'));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(context, path)), { recursive: true });
    writeFileSync(join(context, path), content);
  }
  const events: BuildEvent[] = [];
  const onProgress = (event: BuildEvent): void => void events.push(event);
  try {
    const { imageId } = await builder.build(requestOf(context, dockerfile, { onProgress, ...options }));
    return { imageId, events, lines: linesOf(events), error: undefined };
  } catch (error) {
    return { imageId: '', events, lines: linesOf(events), error: error as NonNullable<BuildOutcome['error']> };
  }
}

/** docker's lines, ids as `ID`. */
export function linesOf(events: readonly BuildEvent[]): readonly string[] {
  return events.flatMap((event): string[] => {
    switch (event.type) {
      case 'step':
        return [`Step ${event.number}/${event.total} : ${event.instruction}`];
      case 'triggers':
        return [`# Executing ${event.count} build trigger${event.count === 1 ? '' : 's'}`];
      case 'cached':
        return [' ---> Using cache'];
      case 'running':
        return [' ---> Running in ID'];
      case 'removed':
        return [' ---> Removed intermediate container ID'];
      case 'done':
        return [event.imageId === '' ? ' ---> ' : ' ---> ID'];
      case 'output':
        return event.content.toString().replace(/\n$/, '').split('\n');
      case 'warning':
        return [`[Warning] ${event.message}`];
      default:
        return [];
    }
  });
}

/** A file of an image as its layers have it, topmost first; `undefined` where none has it. */
async function readIn(images: ImageStore, image: string, path: string): Promise<string | undefined> {
  for (const folder of (await images.details(image)).folders) {
    const content = readFileBeneath(folder, path, 1_000_000);
    if (content) return content.toString();
  }
  return undefined;
}
