import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { cancelled, DisposalStack, errnoOf, type Logger, silentLogger } from '@wherry/base';
import type { ContainerConfig, ContainerEngine, Mount, PodSandboxConfig } from '@wherry/runtime';
import type { RunStep, StepResult, StepRunner } from '../step-runner.ts';
import { removeMountStubs } from './mount-stubs.ts';

/** What the runner needs of an engine. */
export type StepEngine = Pick<
  ContainerEngine,
  | 'definePodSandbox'
  | 'startPodSandbox'
  | 'stopPodSandbox'
  | 'removePodSandbox'
  | 'listPodSandboxes'
  | 'createContainer'
  | 'attachEarly'
  | 'startContainer'
  | 'stopContainer'
  | 'openRootfs'
>;

/** How a step's sandbox gets its network. `none` and `host` need none. */
export interface StepNetwork {
  /** The step's `/etc/resolv.conf`; `undefined`: as the image has it. */
  resolvConf(network: string): string | undefined;
  /** Gives a sandbox its place in a network (`default`: docker's bridge, or a network's name). */
  connect(
    network: string,
    request: { readonly id: string; readonly namespace: string },
  ): Promise<{
    /** For the step's `/etc/hosts`. */
    readonly address: string | undefined;
  }>;
  /** Idempotent. */
  disconnect(network: string, id: string): Promise<void>;
  /** The id of a running container, whose network a step joins. Throws `notFound`, `conflict` in dockerd's words. */
  container(reference: string): Promise<string>;
  /** The machine's own `/etc/hosts`, for steps in its network. */
  machineHosts(): string;
  /** What the address `host-gateway` stands for. */
  gateway(): string | undefined;
}

export interface EngineRunnerOptions {
  readonly engine: StepEngine;
  readonly network: StepNetwork;
  /** Ends with a reboot: files of running steps. */
  readonly runDirectory: string;
  /** Below the engine's: where the steps' cgroups are. Default `build`. */
  readonly cgroupParent?: string | undefined;
  readonly log?: Logger | undefined;
}

const label = 'wherry.build-step';
const networkLabel = 'wherry.build-step.network';

/** Runs steps as containers of an engine, each in a sandbox of its own with the step's id. */
export function createEngineRunner(options: EngineRunnerOptions): StepRunner {
  return new EngineRunner(options);
}

class EngineRunner implements StepRunner {
  readonly #options: EngineRunnerOptions;
  readonly #log: Logger;

  constructor(options: EngineRunnerOptions) {
    this.#options = options;
    this.#log = options.log ?? silentLogger;
  }

  async cleanUp(): Promise<void> {
    const { engine, network } = this.#options;
    for (const { id, labels } of await engine.listPodSandboxes({ labels: { [label]: 'true' } })) {
      await engine.stopPodSandbox(id);
      const name = labels[networkLabel];
      if (name !== undefined && isConnected(name)) await network.disconnect(name, id);
      await engine.removePodSandbox(id);
    }
  }

  async run(step: RunStep): Promise<StepResult> {
    const stack = new DisposalStack(this.#log);
    try {
      return await this.#run(step, stack);
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw step.signal.aborted ? cancelled(step.signal) : error;
    }
  }

  async #run(step: RunStep, stack: DisposalStack): Promise<StepResult> {
    const { engine } = this.#options;
    const { id, signal } = step;
    const files = join(this.#options.runDirectory, id);
    await engine.definePodSandbox(await this.#sandbox(step));
    stack.defer(() => engine.removePodSandbox(id), 'sandbox');
    const { networkNamespace } = await engine.startPodSandbox(id);
    const address = await this.#connect(step, networkNamespace, stack);
    const networkFiles = await this.#networkFiles(step, files, address, stack);
    await engine.createContainer(id, this.#container(step, networkFiles));
    const output = await engine.attachEarly(id, { tty: false, stdin: false, stdout: true, stderr: true });
    stack.use(output, 'output');
    signal.throwIfAborted();
    const stop = (): void => {
      engine.stopContainer(id, 0).catch((error: unknown) => this.#log.error('a step was not stopped', { id, error }));
    };
    signal.addEventListener('abort', stop, { once: true });
    try {
      await engine.startContainer(id);
      if (signal.aborted) stop();
      const [exitCode] = await Promise.all([
        output.exit,
        forward(output.stdout, (content) => step.onOutput('stdout', content)),
        forward(output.stderr, (content) => step.onOutput('stderr', content)),
      ]);
      signal.throwIfAborted();
      const upperDirectory = await this.#takeChanges(step);
      return { exitCode, upperDirectory, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() };
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** The writable layer, out of the engine's hands: what it removes later is the empty rest. */
  async #takeChanges(step: RunStep): Promise<string> {
    using rootfs = await this.#options.engine.openRootfs(step.id);
    const { upperDirectory, lowerDirectories } = rootfs;
    const stubs = step.mounts.filter((mount) => mount.type !== 'bind' || mount.keepsTarget !== true);
    const targets = stubs.map(({ target }) => target);
    await removeMountStubs(upperDirectory, lowerDirectories, targets);
    await mkdir(dirname(step.upperDirectory), { recursive: true, mode: 0o700 });
    try {
      await rename(upperDirectory, step.upperDirectory);
      return step.upperDirectory;
    } catch (error) {
      if (errnoOf(error) !== 'EXDEV') throw error;
      return upperDirectory;
    }
  }

  async #sandbox({ id, network, sharedMemoryBytes, cgroupParent }: RunStep): Promise<PodSandboxConfig> {
    const other = containerIn(network);
    const joined = other === undefined ? undefined : await this.#options.network.container(other);
    const isHost = network === 'host';
    return {
      id,
      metadata: { name: id.slice(0, 12), uid: id, namespace: 'build', attempt: 0 },
      hostname: id.slice(0, 12),
      logDirectory: this.#options.runDirectory,
      labels: { [label]: 'true', [networkLabel]: network },
      annotations: {},
      namespaces: {
        network: joined === undefined ? (isHost ? 'node' : 'unmanaged') : { container: joined },
        pid: 'container',
        ipc: 'container',
        uts: isHost ? 'node' : 'container',
      },
      ...(sharedMemoryBytes && { sharedMemoryBytes }),
      cgroupParent: `${cgroupParent?.replace(/^\/+|\/+$/g, '') || (this.#options.cgroupParent ?? 'build')}/${id}`,
    };
  }

  #container(step: RunStep, networkFiles: readonly Mount[]): ContainerConfig {
    const { id, image, command, environment, user, workingDirectory, mounts, resources, limits } = step;
    const binds = mounts.flatMap((mount) =>
      mount.type === 'bind'
        ? [{ hostPath: mount.hostPath, containerPath: mount.target, readOnly: mount.readOnly }]
        : [],
    );
    const tmpfs = mounts.flatMap((mount) =>
      mount.type === 'tmpfs'
        ? [{ containerPath: mount.target, options: mount.sizeBytes === undefined ? [] : [`size=${mount.sizeBytes}`] }]
        : [],
    );
    return {
      id,
      initLayer: true,
      coreLink: false,
      metadata: { name: id.slice(0, 12), attempt: 0 },
      image,
      command,
      args: [],
      workingDir: workingDirectory,
      env: environment.map(variable),
      mounts: [...networkFiles, ...binds],
      tmpfs,
      labels: { [label]: 'true' },
      annotations: {},
      logPath: '',
      stdin: false,
      stdinOnce: false,
      tty: false,
      ...(resources && { resources }),
      rlimits: limits,
      security: { seccomp: { type: 'RuntimeDefault' }, ...(user === '' ? {} : { runAsUsername: user }) },
    };
  }

  async #connect(
    { id, network }: RunStep,
    namespace: string | undefined,
    stack: DisposalStack,
  ): Promise<string | undefined> {
    if (!isConnected(network) || namespace === undefined) return undefined;
    stack.defer(() => this.#options.network.disconnect(network, id), 'network');
    return (await this.#options.network.connect(network, { id, namespace })).address;
  }

  /** `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` as docker's containers have them. */
  async #networkFiles(
    step: RunStep,
    folder: string,
    address: string | undefined,
    stack: DisposalStack,
  ): Promise<readonly Mount[]> {
    const isHost = step.network === 'host';
    const contents: Readonly<Record<string, string | undefined>> = {
      hosts: this.#hosts(step, address),
      hostname: `${isHost ? hostname() : step.id.slice(0, 12)}\n`,
      'resolv.conf': this.#options.network.resolvConf(step.network),
    };
    await mkdir(folder, { recursive: true, mode: 0o700 });
    stack.defer(() => rm(folder, { recursive: true, force: true }), 'files');
    const mounts: Mount[] = [];
    for (const [name, content] of Object.entries(contents)) {
      if (content === undefined) continue;
      const hostPath = join(folder, name);
      await writeFile(hostPath, content, { mode: 0o644 });
      mounts.push({ hostPath, containerPath: `/etc/${name}` });
    }
    return mounts;
  }

  #hosts({ id, extraHosts, network }: RunStep, address: string | undefined): string {
    const { machineHosts, gateway } = this.#options.network;
    const extra = extraHosts.flatMap((entry) => {
      const [, name = '', given = ''] = /^([^:=]+)[:=](.*)$/.exec(entry) ?? [];
      const at = given === 'host-gateway' ? gateway() : given;
      return at === undefined ? [] : [`${at}\t${name}`];
    });
    const own = address === undefined ? [] : [`${address}\t${id.slice(0, 12)}`];
    const standard = network === 'host' ? machineHosts().trimEnd().split('\n') : standardHosts;
    return `${[...standard, ...extra, ...own].join('\n')}\n`;
  }
}

const standardHosts = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::0\tip6-localnet',
  'ff00::0\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
];

/** Whether a step gets a place of its own in a network. */
function isConnected(network: string): boolean {
  return network !== 'none' && network !== 'host' && containerIn(network) === undefined;
}

function containerIn(network: string): string | undefined {
  return network.startsWith('container:') ? network.slice('container:'.length) : undefined;
}

function variable(entry: string): { readonly name: string; readonly value: string } {
  const equals = entry.indexOf('=');
  return equals < 0 ? { name: entry, value: '' } : { name: entry.slice(0, equals), value: entry.slice(equals + 1) };
}

async function forward(
  stream: AsyncIterable<Buffer> | undefined,
  take: (content: Buffer) => Promise<void> | undefined,
): Promise<void> {
  if (stream === undefined) return;
  for await (const content of stream) await take(content);
}
