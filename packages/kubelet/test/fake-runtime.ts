import { AsyncQueue, type Clock, WherryError } from '@wherry/base';
import type {
  ContainerConfig,
  ContainerStatus,
  ExecResult,
  ImageService,
  ImageStatus,
  PodSandboxConfig,
  PodSandboxStatus,
  RuntimeEvent,
  RuntimeService,
} from '@wherry/runtime';

/** A runtime of plain objects: containers run until the test says otherwise. */
export class FakeRuntime implements Partial<Omit<RuntimeService, 'exec'>> {
  readonly sandboxes = new Map<string, PodSandboxStatus>();
  readonly containers = new Map<string, ContainerStatus>();
  readonly configs = new Map<string, ContainerConfig>();
  readonly sandboxConfigs: PodSandboxConfig[] = [];
  /** What happened, in order: `start c0`, `stop c0 30`. */
  readonly calls: string[] = [];
  readonly #queues = new Set<AsyncQueue<RuntimeEvent>>();
  readonly #clock: Clock;
  #count = 0;
  exec: (id: string, command: readonly string[]) => ExecResult = () => result(0);
  /** Thrown by startContainer. */
  startError: Error | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get service(): RuntimeService {
    return this as unknown as RuntimeService;
  }

  async updateCgroup(): Promise<void> {}

  async version(): Promise<{ runtimeName: string; runtimeVersion: string; ociRuntime: string }> {
    return { runtimeName: 'wherry', runtimeVersion: '0.1.0', ociRuntime: 'none' };
  }

  async ready(): Promise<void> {}

  async runPodSandbox(config: PodSandboxConfig): Promise<PodSandboxStatus> {
    const id = `s${this.#count++}`;
    this.sandboxConfigs.push(config);
    const { metadata, labels, annotations } = config;
    const ips = config.namespaces.network === 'node' ? [] : [`10.0.0.${this.#count}`];
    const sandbox: PodSandboxStatus = {
      id,
      metadata,
      labels,
      annotations,
      ips,
      state: 'ready',
      createdAt: this.#clock.now(),
      networkNamespace: undefined,
    };
    this.sandboxes.set(id, sandbox);
    return sandbox;
  }

  async stopPodSandbox(id: string): Promise<void> {
    const sandbox = this.sandboxes.get(id);
    if (sandbox) this.sandboxes.set(id, { ...sandbox, state: 'notReady' });
  }

  async removePodSandbox(id: string): Promise<void> {
    this.sandboxes.delete(id);
    for (const [key, container] of this.containers) if (container.sandboxId === id) this.containers.delete(key);
  }

  async listPodSandboxes(filter: { labels?: Record<string, string> } = {}): Promise<PodSandboxStatus[]> {
    return [...this.sandboxes.values()].filter((one) => matches(one.labels, filter.labels));
  }

  async createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    const id = `c${this.#count++}`;
    const { metadata, labels, annotations, image } = config;
    this.configs.set(id, config);
    this.containers.set(id, {
      id,
      sandboxId,
      metadata,
      labels,
      annotations,
      image,
      imageId: 'sha256:feed',
      state: 'created',
      createdAt: this.#clock.now(),
      startedAt: undefined,
      finishedAt: undefined,
      exitCode: undefined,
      reason: undefined,
      message: undefined,
      logPath: `/nonexistent/${id}`,
      pid: undefined,
      mounts: config.mounts,
    });
    return id;
  }

  async startContainer(id: string): Promise<void> {
    if (this.startError) throw this.startError;
    this.calls.push(`start ${this.#name(id)}`);
    this.#change(id, { state: 'running', startedAt: this.#clock.now() });
  }

  async stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    if (this.containers.get(id)?.state !== 'running') return;
    this.calls.push(`stop ${this.#name(id)} ${timeoutSeconds}`);
    this.exit(id, 137);
  }

  async removeContainer(id: string): Promise<void> {
    this.containers.delete(id);
  }

  async listContainers(filter: { labels?: Record<string, string>; id?: string } = {}): Promise<ContainerStatus[]> {
    const all = [...this.containers.values()].filter((one) => matches(one.labels, filter.labels));
    return filter.id === undefined ? all : all.filter(({ id }) => id === filter.id);
  }

  async execSync(id: string, command: readonly string[]): Promise<ExecResult> {
    return this.exec(id, command);
  }

  async *events(signal: AbortSignal): AsyncGenerator<RuntimeEvent> {
    const queue = new AsyncQueue<RuntimeEvent>();
    this.#queues.add(queue);
    signal.addEventListener('abort', () => queue.end(), { once: true });
    yield* queue;
  }

  /** The newest container of a name. */
  named(name: string): ContainerStatus {
    const found = [...this.containers.values()].filter(({ metadata }) => metadata.name === name).at(-1);
    if (found === undefined) throw new WherryError('notFound', `no container ${name}`);
    return found;
  }

  exit(id: string, exitCode: number): void {
    this.#change(id, {
      state: 'exited',
      exitCode,
      finishedAt: this.#clock.now(),
      reason: exitCode === 0 ? 'Completed' : 'Error',
    });
    const status = this.containers.get(id) as ContainerStatus;
    const event: RuntimeEvent = {
      type: 'containerExited',
      containerId: id,
      sandboxId: status.sandboxId,
      labels: status.labels,
      status,
    };
    for (const queue of this.#queues) queue.push(event);
  }

  #name(id: string): string {
    return this.containers.get(id)?.metadata.name ?? id;
  }

  #change(id: string, change: Partial<ContainerStatus>): void {
    const container = this.containers.get(id);
    if (container) this.containers.set(id, { ...container, ...change });
  }
}

export function result(exitCode: number, output = ''): ExecResult {
  return { exitCode, stdout: Buffer.from(output), stderr: Buffer.alloc(0) };
}

function matches(labels: Readonly<Record<string, string>>, wanted: Record<string, string> = {}): boolean {
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}

/** Images that are here by name; anything else cannot be pulled. */
export function fakeImages(names: readonly string[]): ImageService {
  const image: ImageStatus = { id: 'sha256:feed', repoTags: names, repoDigests: [], sizeBytes: 123, user: '' };
  return {
    imageStatus: async (reference) =>
      reference === image.id || names.some((name) => name === reference || name.endsWith(`/${reference}`))
        ? image
        : undefined,
    pullImage: async (reference) => {
      throw new WherryError('unavailable', `failed to resolve reference "${reference}"`);
    },
    listImages: async () => [image],
    removeImage: async () => undefined,
    imageFsInfo: async () => ({ mountpoint: '/', usedBytes: 0, inodesUsed: 0 }),
  };
}
