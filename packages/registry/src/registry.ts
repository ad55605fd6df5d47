import {
  type Clock,
  DisposalStack,
  type Logger,
  makeDurableFolder,
  messageOf,
  type Random,
  silentLogger,
  systemClock,
  systemRandom,
} from '@wherry/base';
import { type AuthOptions, openAuthentication } from './auth/open-authentication.ts';
import type { RegistryContext } from './context.ts';
import { Metrics } from './metrics.ts';
import { PullThrough } from './proxy/pull-through.ts';
import { UpstreamClient, type UpstreamOptions } from './proxy/upstream-client.ts';
import { RequestHandler } from './request-handler.ts';
import { type Listener, type ListenOptions, listen } from './server.ts';
import type { BlobStore } from './storage/blob-store.ts';
import { Contents, type Quotas } from './storage/contents.ts';
import { lockFolder } from './storage/folder-lock.ts';
import { type CollectOptions, type CollectReport, collect } from './storage/garbage.ts';
import { TlsFiles } from './tls-files.ts';

export interface RegistryOptions {
  /** The registry's own folder; made when it is missing. One process at a time. */
  readonly directory: string;
  /** Where content goes (default: into the folder). */
  readonly blobs?: BlobStore | undefined;
  readonly log?: Logger | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly auth?: AuthOptions | undefined;
  readonly quotas?: Quotas | undefined;
  /** Uploads at once (default: 1000). */
  readonly mostUploads?: number | undefined;
  /** An upload without a byte for so long is given up, ms (default: a day). */
  readonly uploadLifetime?: number | undefined;
  readonly readOnly?: boolean | undefined;
  /** Refuse to delete blobs, manifests and tags. */
  readonly keepAll?: boolean | undefined;
  /** Take manifests and indexes of which parts are missing. */
  readonly sparse?: boolean | undefined;
  /** Whole URLs in `Location`, as the reference registry writes them (default: paths). */
  readonly absoluteLocations?: boolean | undefined;
  /** `https://host` under which clients reach the registry, where that is not what they say. */
  readonly externalUrl?: string | undefined;
  /** Serve what this registry has, and keep it: a pull-through cache. It is not pushed to. */
  readonly proxy?: UpstreamOptions | undefined;
  readonly collection?: CollectionOptions | undefined;
}

/** How garbage is collected while the registry runs. */
export interface CollectionOptions {
  /** Between collections, ms (default: a day; 0 for never by itself). */
  readonly interval?: number | undefined;
  /** What nobody pushed or asked for within it may go, ms (default: a day). */
  readonly grace?: number | undefined;
  /** Collect manifests without tags too. */
  readonly untagged?: boolean | undefined;
  /** Of a cache: drop what nobody pulled for so long, ms (default: a week). */
  readonly unusedFor?: number | undefined;
}

/** A registry: OCI distribution-spec 1.1. */
export interface Registry extends AsyncDisposable {
  /** Answers on a port; any number of them. Ends with the registry. */
  listen(options?: ListenOptions): Promise<Listener>;
  /** Collects garbage now; pushes and pulls go on meanwhile. Calls at the same time share one collection. */
  collectGarbage(options?: Pick<CollectionOptions, 'grace' | 'untagged'>): Promise<CollectReport>;
}

const day = 24 * 60 * 60 * 1000;

/** Opens or creates a registry. Throws `unavailable` where another process has it, `unsupported` for a later format. */
export async function createRegistry(options: RegistryOptions): Promise<Registry> {
  const { directory, log = silentLogger, clock = systemClock, random = systemRandom } = options;
  const resources = new DisposalStack(log);
  try {
    await makeDurableFolder(directory);
    let registry: LocalRegistry | undefined;
    const control = async (command: string, parameters: URLSearchParams): Promise<unknown> =>
      command === 'gc' ? await registry?.collectGarbage({ untagged: parameters.get('untagged') === 'true' }) : {};
    resources.use(await lockFolder(directory, control), 'lock');
    const contents = await Contents.open({
      directory,
      blobs: options.blobs,
      clock,
      random,
      quotas: options.quotas ?? {},
      mostUploads: options.mostUploads ?? 1000,
      uploadLifetime: options.uploadLifetime ?? day,
    });
    resources.defer(() => contents.settled(), 'changes');
    const externalUrl = options.externalUrl?.replace(/\/$/, '');
    const place = { directory, log, random, now: () => clock.now(), externalUrl };
    const { auth, tokenService } = await openAuthentication(options.auth ?? {}, place, resources);
    const upstream = options.proxy && new PullThrough(contents, new UpstreamClient(options.proxy), log);
    if (upstream) resources.use(upstream, 'upstream');
    const context: RegistryContext = {
      contents,
      log,
      readOnly: options.readOnly ?? false,
      keepAll: options.keepAll ?? false,
      sparse: options.sparse ?? false,
      absoluteLocations: options.absoluteLocations ?? false,
      externalUrl,
      upstream,
      allows: (exchange, name, action) => auth.allows(exchange.identity, name, action),
      wouldAllow: (exchange, name, action) => auth.wouldAllow(exchange.identity, name, action),
      denial: (exchange, needs) => auth.denial(exchange, exchange.identity, needs),
      lists: (exchange, name) => auth.lists(exchange.identity, name),
    };
    const metrics = new Metrics(contents);
    const handler = new RequestHandler(context, auth, tokenService, metrics);
    registry = new LocalRegistry(context, handler, metrics, clock, resources, options);
    registry.start();
    return registry;
  } catch (error) {
    await resources[Symbol.asyncDispose]();
    throw error;
  }
}

class LocalRegistry implements Registry {
  readonly #context: RegistryContext;
  readonly #handler: RequestHandler;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #resources: DisposalStack;
  readonly #options: CollectOptions & { readonly interval: number };
  readonly #closing = new AbortController();
  #collecting: Promise<CollectReport> | undefined;
  #timer: Disposable | undefined;

  constructor(
    context: RegistryContext,
    handler: RequestHandler,
    metrics: Metrics,
    clock: Clock,
    resources: DisposalStack,
    { collection = {}, proxy }: RegistryOptions,
  ) {
    this.#context = context;
    this.#handler = handler;
    this.#metrics = metrics;
    this.#clock = clock;
    this.#resources = resources;
    this.#options = {
      interval: collection.interval ?? day,
      grace: collection.grace ?? day,
      untagged: collection.untagged ?? false,
      unusedFor: proxy ? (collection.unusedFor ?? 7 * day) : undefined,
      signal: this.#closing.signal,
    };
  }

  start(): void {
    const { interval } = this.#options;
    if (interval === 0) return;
    this.#timer = this.#clock.after(interval, () => {
      void this.collectGarbage()
        .catch((error: unknown) => this.#context.log.error('garbage not collected', { error: messageOf(error) }))
        .finally(() => {
          if (!this.#closing.signal.aborted) this.start();
        });
    });
  }

  async listen(options: ListenOptions = {}): Promise<Listener> {
    const tls = options.tls && new TlsFiles(options.tls);
    const opened = await listen(options, tls, (exchange) => this.#handler.handle(exchange), this.#context.log);
    return this.#resources.use(opened, 'listener');
  }

  async collectGarbage(options: Pick<CollectionOptions, 'grace' | 'untagged'> = {}): Promise<CollectReport> {
    this.#collecting ??= this.#collect(options).finally(() => {
      this.#collecting = undefined;
    });
    return await this.#collecting;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#timer?.[Symbol.dispose]();
    await this.#collecting?.catch(() => undefined);
    await this.#resources[Symbol.asyncDispose]();
  }

  async #collect({ grace, untagged }: Pick<CollectionOptions, 'grace' | 'untagged'>): Promise<CollectReport> {
    const settings = { ...this.#options, ...(grace !== undefined && { grace }), ...(untagged && { untagged }) };
    const report = await collect(this.#context.contents, settings);
    this.#metrics.collected(report);
    this.#context.log.info('garbage collected', { ...report });
    return report;
  }
}
