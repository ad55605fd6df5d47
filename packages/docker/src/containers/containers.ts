import type { Readable } from 'node:stream';
import type { StreamSession } from '@wherry/runtime';

/** A body of the Docker Engine API, as JSON was read. Whoever takes it checks it. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** `filters` of the API: a name with its values; a value is there with `true`. */
export type Filters = ReadonlyMap<string, readonly string[]>;

/**
 * Docker's containers, above the engine: names, restart policies, health checks, auto-removal, events. Bodies and
 * results are those of the Docker Engine API 1.45–1.50; a `reference` is a name, an id or a unique prefix of one.
 * Failures are `WherryError`s whose message is dockerd's (26.1), with codes that `engine-api` maps to its statuses.
 */
export interface DockerContainers {
  create(
    body: JsonObject,
    options: { readonly name?: string; readonly platform?: string },
  ): Promise<{ readonly Id: string; readonly Warnings: readonly string[] }>;
  list(options: {
    readonly all: boolean;
    readonly limit?: number;
    readonly size: boolean;
    readonly filters: Filters;
  }): Promise<readonly JsonObject[]>;
  inspect(reference: string, options: { readonly size: boolean }): Promise<JsonObject>;
  /** False when it ran already (304). */
  start(reference: string): Promise<boolean>;
  /** False when it did not run (304). Seconds: undefined is the container's own; −1 waits for ever. */
  stop(reference: string, options: { readonly signal?: string; readonly timeout?: number }): Promise<boolean>;
  restart(reference: string, options: { readonly signal?: string; readonly timeout?: number }): Promise<void>;
  kill(reference: string, signal: string | undefined): Promise<void>;
  pause(reference: string): Promise<void>;
  unpause(reference: string): Promise<void>;
  rename(reference: string, name: string): Promise<void>;
  update(reference: string, body: JsonObject): Promise<{ readonly Warnings: readonly string[] | null }>;
  remove(
    reference: string,
    options: { readonly force: boolean; readonly volumes: boolean; readonly link: boolean },
  ): Promise<void>;
  prune(
    filters: Filters,
  ): Promise<{ readonly ContainersDeleted: readonly string[] | null; readonly SpaceReclaimed: number }>;
  /** Resolves once the container is found; `result` when the condition is met. */
  wait(
    reference: string,
    condition: 'not-running' | 'next-exit' | 'removed',
    signal: AbortSignal,
  ): Promise<{
    readonly result: Promise<{ readonly StatusCode: number; readonly Error?: { readonly Message: string } }>;
  }>;
  /** `logs`: what was written before comes first. `tty` says whether the stream is raw or framed. */
  attach(reference: string, options: AttachRequest): Promise<AttachedStreams>;
  resize(reference: string, size: { readonly width: number; readonly height: number }): Promise<void>;
  /** `output` is ready for the wire: with `tty` raw, else frames `[stream,0,0,0,len32]`, many of them in a buffer. */
  logs(
    reference: string,
    options: LogsRequest,
  ): Promise<{ readonly tty: boolean; readonly output: AsyncIterable<Buffer> }>;
  top(
    reference: string,
    psArguments: string,
  ): Promise<{ readonly Titles: readonly string[]; readonly Processes: readonly (readonly string[])[] }>;
  /** One object a second, or one alone; `oneShot` does not wait for a second sample. */
  stats(
    reference: string,
    options: { readonly stream: boolean; readonly oneShot: boolean },
    signal: AbortSignal,
  ): Promise<AsyncIterable<JsonObject>>;
  /**
   * `docker network connect`, of a container that runs or not; `endpoint` is the API's `EndpointConfig`. Emits
   * `connect`. Throws `notFound` (`network … not found`, `No such container: …`), `forbidden`, `conflict`, `invalid`.
   */
  connectNetwork(network: string, reference: string, endpoint: JsonObject): Promise<void>;
  /** `docker network disconnect`; emits `disconnect`. With `force` also of a container that is no more. */
  disconnectNetwork(network: string, reference: string, options: { readonly force: boolean }): Promise<void>;
  createExec(reference: string, body: JsonObject): Promise<{ readonly Id: string }>;
  /** Throws `notFound`, and `conflict` where its container does not run now. */
  checkExec(id: string): Promise<void>;
  startExec(
    id: string,
    options: {
      readonly detach: boolean;
      readonly tty: boolean;
      readonly size?: { readonly width: number; readonly height: number };
    },
  ): Promise<AttachedStreams | undefined>;
  inspectExec(id: string): Promise<JsonObject>;
  resizeExec(id: string, size: { readonly width: number; readonly height: number }): Promise<void>;

  /** `docker diff`: Kind 0 changed, 1 added, 2 deleted. */
  changes(reference: string): Promise<readonly { readonly Path: string; readonly Kind: 0 | 1 | 2 }[]>;
  export(reference: string): Promise<Readable>;
  statPath(reference: string, path: string): Promise<PathStat>;
  getArchive(reference: string, path: string): Promise<{ readonly stat: PathStat; readonly archive: Readable }>;
  putArchive(
    reference: string,
    path: string,
    archive: Readable,
    options: { readonly noOverwriteDirNonDir: boolean; readonly copyUidGid: boolean },
  ): Promise<void>;
  commit(options: CommitRequest): Promise<{ readonly Id: string }>;

  /** Which container uses an image, for the refusal of its removal. */
  userOfImage(image: string): { readonly containerId: string; readonly running: boolean } | undefined;
  /** Numbers for `docker info`. */
  counts(): { readonly running: number; readonly paused: number; readonly stopped: number };
}

export interface AttachRequest {
  readonly stream: boolean;
  readonly logs: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly detachKeys?: string;
}

export interface AttachedStreams extends AsyncDisposable {
  readonly tty: boolean;
  readonly session: StreamSession;
  /** Written before the session's own output (`logs=1`), ready for the wire as that of `logs` is. */
  readonly earlier?: AsyncIterable<Buffer> | undefined;
  /** Resolves when the client has typed the keys that leave it: what it has joined goes on. */
  readonly detached?: Promise<void> | undefined;
}

export interface LogsRequest {
  readonly follow: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly since?: number | undefined; // ms
  readonly until?: number | undefined; // ms
  readonly timestamps: boolean;
  readonly details: boolean;
  readonly tail?: number | undefined;
  /** Ends the output at once, that of a quiet log that is followed, too. */
  readonly signal?: AbortSignal | undefined;
}

/** `X-Docker-Container-Path-Stat`. `mode` has Go's `os.FileMode` bits. */
export interface PathStat {
  readonly name: string;
  readonly size: number;
  readonly mode: number;
  readonly mtime: string;
  readonly linkTarget: string;
}

export interface CommitRequest {
  readonly container: string;
  readonly repo?: string | undefined;
  readonly tag?: string | undefined;
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
  readonly pause: boolean;
  /** Dockerfile instructions. */
  readonly changes: readonly string[];
  /** A container config that replaces the container's. */
  readonly config?: JsonObject | undefined;
}
