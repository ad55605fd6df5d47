import {
  type Clock,
  DisposalStack,
  type Logger,
  messageOf,
  type Random,
  silentLogger,
  systemClock,
  systemRandom,
} from '@wherry/base';
import { type Authentication, openAccess } from './auth/authentication.ts';
import type { RegistryContext } from './context.ts';
import { dispatch } from './protocol/dispatch.ts';
import type { Exchange } from './protocol/exchange.ts';
import { refusal, refusalOf } from './refusal.ts';
import { type Listener, type ListenOptions, listen } from './server.ts';
import type { BlobStore } from './storage/blob-store.ts';
import { Contents, type Quotas } from './storage/contents.ts';
import { TlsFiles } from './tls-files.ts';

export interface RegistryOptions {
  /** The registry's own folder; made when it is missing. One process at a time. */
  readonly directory: string;
  /** Where content goes (default: into the folder). */
  readonly blobs?: BlobStore | undefined;
  readonly log?: Logger | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly quotas?: Quotas | undefined;
  /** Uploads at once (default: 1000). */
  readonly mostUploads?: number | undefined;
  /** An upload without a byte for so long is given up, ms (default: a day). */
  readonly uploadLifetime?: number | undefined;
  readonly readOnly?: boolean | undefined;
  /** Whole URLs in `Location`, as the reference registry writes them (default: paths). */
  readonly absoluteLocations?: boolean | undefined;
  readonly externalUrl?: string | undefined;
}

/** A registry: OCI distribution-spec 1.1. */
export interface Registry extends AsyncDisposable {
  /** Answers on a port; any number of them. Ends with the registry. */
  listen(options?: ListenOptions): Promise<Listener>;
}

const day = 24 * 60 * 60 * 1000;

/** Opens or creates a registry. Throws `unavailable` where another process has it, `unsupported` for a later format. */
export async function createRegistry(options: RegistryOptions): Promise<Registry> {
  const { log = silentLogger, clock = systemClock, random = systemRandom } = options;
  const contents = await Contents.open({
    directory: options.directory,
    blobs: options.blobs,
    clock,
    random,
    quotas: options.quotas ?? {},
    mostUploads: options.mostUploads ?? 1000,
    uploadLifetime: options.uploadLifetime ?? day,
  });
  const auth = openAccess;
  const context: RegistryContext = {
    contents,
    log,
    readOnly: options.readOnly ?? false,
    absoluteLocations: options.absoluteLocations ?? false,
    externalUrl: options.externalUrl,
    upstream: undefined,
    allows: (exchange, name, action) => auth.allows(exchange.identity, name, action),
  };
  return new LocalRegistry(context, auth);
}

class LocalRegistry implements Registry {
  readonly #context: RegistryContext;
  readonly #auth: Authentication;
  readonly #resources: DisposalStack;

  constructor(context: RegistryContext, auth: Authentication) {
    this.#context = context;
    this.#auth = auth;
    this.#resources = new DisposalStack(context.log);
  }

  async listen(options: ListenOptions = {}): Promise<Listener> {
    const tls = options.tls && new TlsFiles(options.tls);
    const { log } = this.#context;
    return this.#resources.use(await listen(options, tls, (exchange) => this.#handle(exchange), log), 'listener');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources[Symbol.asyncDispose]();
  }

  async #handle(exchange: Exchange): Promise<void> {
    const began = performance.now();
    try {
      if (exchange.path === '/v2' || exchange.path.startsWith('/v2/'))
        await dispatch(this.#context, this.#auth, exchange);
      else throw refusal('NAME_UNKNOWN', 'not found');
    } catch (error) {
      const { status } = refusalOf(error);
      if (status === 500 && !exchange.request.destroyed)
        this.#context.log.error('request failed', {
          method: exchange.method,
          path: exchange.path,
          error: messageOf(error),
        });
      exchange.fail(error);
    }
    await exchange.closed;
    this.#report(exchange, performance.now() - began);
  }

  #report(exchange: Exchange, ms: number): void {
    this.#context.log.info('request', {
      method: exchange.method,
      path: exchange.path.slice(0, 500),
      status: exchange.response.statusCode,
      ms: Math.round(ms),
      sent: exchange.bytesSent,
      received: exchange.bytesReceived,
      ...(exchange.identity.user !== undefined && { user: exchange.identity.user }),
    });
  }
}
