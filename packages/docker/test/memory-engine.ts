import { AsyncQueue, type Clock, WherryError } from '@wherry/base';
import type {
  ContainerConfig,
  ContainerEngine,
  ContainerStatus,
  ExecResult,
  LabelFilter,
  OpenRootfs,
  PodSandboxConfig,
  PodSandboxStatus,
  RuntimeEvent,
} from '@wherry/runtime';

interface Known {
  sandbox: PodSandboxConfig;
  ready: boolean;
  config: ContainerConfig | undefined;
  state: 'created' | 'running' | 'exited';
  paused: boolean;
  startedAt: number | undefined;
  finishedAt: number | undefined;
  exitCode: number | undefined;
}

/** An engine without processes, for tests on a virtual clock: runs end, and commands answer, when the test says so. */
export class MemoryEngine {
  /** What the next commands in containers give; `undefined` lets one run into its time limit. */
  readonly commands: ((Partial<Omit<ExecResult, 'stdout'>> & { readonly stdout?: string }) | undefined)[] = [];
  /** How often each container was started. */
  readonly starts = new Map<string, number>();
  /** Signals that were sent, in order. */
  readonly signals: (string | number)[] = [];
  unreadableRecords: string | undefined;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();
  readonly #listeners = new Set<AsyncQueue<RuntimeEvent>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** As docker's part sees it: the calls that it makes for the life of containers. */
  get asEngine(): ContainerEngine {
    return this as unknown as ContainerEngine;
  }

  /** Ends a run. Without listeners nobody is told, as while no daemon runs. */
  end(id: string, exitCode: number): void {
    const known = this.#get(id);
    if (known.state !== 'running') throw new Error(`${id} does not run`);
    Object.assign(known, { state: 'exited', exitCode, finishedAt: this.#clock.now(), paused: false });
    const labels = known.config?.labels ?? {};
    const event = {
      type: 'containerExited',
      containerId: id,
      sandboxId: id,
      labels,
      status: this.#status(id),
    } as const;
    for (const listener of this.#listeners) listener.push(event);
  }

  #get(id: string): Known {
    const known = this.#known.get(id);
    if (known === undefined) throw new WherryError('notFound', `no container ${id}`);
    return known;
  }

  async definePodSandbox(config: PodSandboxConfig): Promise<string> {
    const id = config.id as string;
    const unknown = { startedAt: undefined, finishedAt: undefined, exitCode: undefined };
    this.#known.set(id, {
      sandbox: config,
      ready: false,
      config: undefined,
      state: 'created',
      paused: false,
      ...unknown,
    });
    return id;
  }

  async updatePodSandbox(id: string, change: (config: PodSandboxConfig) => PodSandboxConfig): Promise<void> {
    this.#get(id).sandbox = change(this.#get(id).sandbox);
  }

  async startPodSandbox(id: string): Promise<PodSandboxStatus> {
    if (this.#get(id).ready) throw new WherryError('conflict', `the sandbox ${id} is ready`);
    this.#get(id).ready = true;
    return this.podSandboxStatus(id);
  }

  async stopPodSandbox(id: string): Promise<void> {
    this.#get(id).ready = false;
  }

  async removePodSandbox(id: string): Promise<void> {
    this.#known.delete(id);
  }

  async podSandboxStatus(id: string): Promise<PodSandboxStatus> {
    return { id, state: this.#get(id).ready ? 'ready' : 'notReady' } as PodSandboxStatus;
  }

  async listPodSandboxes(_filter: LabelFilter): Promise<readonly PodSandboxStatus[]> {
    return await Promise.all([...this.#known.keys()].map((id) => this.podSandboxStatus(id)));
  }

  async createContainer(id: string, config: ContainerConfig): Promise<string> {
    this.#get(id).config = config;
    return id;
  }

  async persist(id: string): Promise<void> {
    this.#get(id);
  }

  async updateContainer(id: string, change: (config: ContainerConfig) => ContainerConfig): Promise<void> {
    const known = this.#get(id);
    known.config = change(known.config as ContainerConfig);
  }

  async startContainer(id: string): Promise<void> {
    const known = this.#get(id);
    if (!known.ready || known.state === 'running') throw new WherryError('conflict', `${id} cannot be started`);
    const begun = { state: 'running', startedAt: this.#clock.now(), finishedAt: undefined, exitCode: undefined };
    Object.assign(known, begun);
    this.starts.set(id, (this.starts.get(id) ?? 0) + 1);
  }

  async containerStatus(id: string): Promise<ContainerStatus> {
    return this.#status(id);
  }

  #status(id: string): ContainerStatus {
    const { state, startedAt, finishedAt, exitCode } = this.#get(id);
    const facts = { id, sandboxId: id, state, startedAt, finishedAt, exitCode, createdAt: 0 };
    return { ...facts, pid: state === 'running' ? 1 : undefined, reason: undefined } as unknown as ContainerStatus;
  }

  async listContainers(_filter: LabelFilter): Promise<readonly ContainerStatus[]> {
    return [...this.#known.keys()].map((id) => this.#status(id));
  }

  /** Processes here end by SIGKILL alone. */
  async killContainer(id: string, signal: string | number): Promise<void> {
    this.signals.push(signal);
    if (signal === 'SIGKILL' || signal === 9) this.end(id, 137);
  }

  async isPaused(id: string): Promise<boolean> {
    return this.#get(id).paused;
  }

  async pauseContainer(id: string): Promise<void> {
    this.#get(id).paused = true;
  }

  async unpauseContainer(id: string): Promise<void> {
    this.#get(id).paused = false;
  }

  async execSync(_id: string, _command: readonly string[], timeoutSeconds: number): Promise<ExecResult> {
    if (this.commands.length === 0) throw new Error('a command that no test expects');
    const result = this.commands.shift();
    if (result === undefined) throw new WherryError('timeout', `it took more than ${timeoutSeconds} s`);
    return { exitCode: 0, stderr: Buffer.alloc(0), ...result, stdout: Buffer.from(result.stdout ?? '') };
  }

  async openRootfs(id: string): Promise<OpenRootfs> {
    this.#get(id);
    const nowhere = { path: '', processRoot: undefined, upperDirectory: '', lowerDirectories: [] };
    return { ...nowhere, [Symbol.dispose]: () => undefined };
  }

  events(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const queue = new AsyncQueue<RuntimeEvent>();
    this.#listeners.add(queue);
    const stop = (): void => {
      this.#listeners.delete(queue);
      queue.end();
    };
    signal.addEventListener('abort', stop, { once: true });
    return queue;
  }
}
