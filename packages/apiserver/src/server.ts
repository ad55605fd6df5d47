import type { IncomingMessage } from 'node:http';
import {
  createSecureServer,
  type Http2SecureServer,
  type SecureServerOptions,
  type ServerHttp2Session,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import { DisposalStack } from '@wherry/base';
import type { ApiClient } from '@wherry/client';
import { privilegeEscalation } from './admission/privilege-escalation.ts';
import type { UserInfo } from './auth/contract.ts';
import { ensureBootstrapObjects } from './bootstrap.ts';
import { connectionLimits, limitConnections } from './http/connections.ts';
import { documents } from './http/documents.ts';
import { Handler } from './http/handler.ts';
import { RequestMetrics } from './http/metrics.ts';
import { type HealthCheck, pathHandler } from './http/paths.ts';
import { Users } from './http/users.ts';
import { InProcessClient } from './in-process-client.ts';
import type { ApiServerOptions, CacheReader, FromReader } from './options.ts';
import type { Core, ResourceHooks } from './pipeline/core.ts';
import { createReader } from './pipeline/reader.ts';
import { Catalog } from './registry/catalog.ts';
import { Housekeeping } from './registry/housekeeping.ts';
import { Registry } from './registry/registry.ts';
import { parseRange } from './services/address-range.ts';
import { ServiceAllocator } from './services/allocator.ts';
import { createSubresources } from './special/creators.ts';
import { namespaceHooks } from './special/hooks.ts';
import { createConnectors } from './streams/connectors.ts';

/** How long a watch lasts at least when its client names no time (upstream's minimum). */
const watchTimeout = 30 * 60 * 1000;

export interface ApiServer extends AsyncDisposable {
  /** Begins to answer over HTTPS. Error `conflict` when the port is taken. */
  listen(at: {
    readonly host: string;
    readonly port: number;
  }): Promise<{ readonly host: string; readonly port: number }>;
  /** Where it listens; `undefined` before `listen`. */
  readonly address: { readonly host: string; readonly port: number } | undefined;
  /** The API as this user, straight into the pipeline: no sockets, reads shared and frozen. */
  client(user: UserInfo): ApiClient;
  /** Current objects out of the cache. */
  readonly reader: CacheReader;
}

/** Loads the store, makes what a cluster has from the start, and gives the API in process. */
export async function createApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const server = new Server(options);
  try {
    await server.start();
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return server;
}

class Server implements ApiServer {
  readonly #options: ApiServerOptions;
  readonly #stack: DisposalStack;
  readonly #metrics = new RequestMetrics();
  #registry!: Registry;
  #core!: Core;
  #handler!: Handler;
  #authorizer!: ConstructorParameters<typeof InProcessClient>[1];
  #subresources!: ConstructorParameters<typeof InProcessClient>[2];
  #connect!: ReturnType<typeof createConnectors>;
  reader!: CacheReader;
  address: { readonly host: string; readonly port: number } | undefined;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#stack = new DisposalStack(options.log);
  }

  async start(): Promise<void> {
    const { store, kinds, clock, random, log } = this.#options;
    const catalog = new Catalog(kinds);
    this.#registry = this.#stack.use(await Registry.open(store, catalog, clock, log), 'registry');
    this.reader = createReader(this.#registry, clock);
    const range = parseRange(this.#options.serviceCidr);
    const authorizer = made(this.#options.authorizer, this.reader);
    this.#authorizer = authorizer;
    this.#core = {
      catalog,
      registry: this.#registry,
      clock,
      random,
      log,
      admission: [...this.#options.admission, privilegeEscalation(authorizer)],
      reader: this.reader,
      hooks: this.#hooks(catalog, range),
    };
    this.#wire();
    this.#stack.use(new Housekeeping(this.#core, this.#options.eventLifetime), 'housekeeping');
    const { advertise, bootstrapObjects = [] } = this.#options;
    await ensureBootstrapObjects(this.#core, range, advertise, bootstrapObjects);
  }

  #hooks(catalog: Catalog, range: ReturnType<typeof parseRange>): Map<string, ResourceHooks> {
    const hooks = new Map<string, ResourceHooks>([['/namespaces', namespaceHooks]]);
    const services = catalog.find('', 'v1', 'services');
    if (services !== undefined) {
      const ports = this.#options.nodePortRange ?? { from: 30_000, to: 32_767 };
      const allocator = new ServiceAllocator(this.#registry.cacheOf(services), {
        range,
        ports,
        random: this.#options.random,
        portHolder: this.#options.nodePortHolder,
      });
      hooks.set('/services', allocator);
    }
    return hooks;
  }

  #wire(): void {
    const { options, reader } = { options: this.#options, reader: this.reader };
    const authenticator = made(options.authenticator, reader);
    const authorizer = this.#authorizer;
    const issuer = made(options.tokenIssuer, reader);
    this.#subresources = createSubresources(this.#core, { authenticator, authorizer, issuer });
    const users = new Users(authenticator, authorizer);
    this.#connect = createConnectors(this.#core, {
      authorizer,
      users,
      streamsOf: options.streamsOf,
      dialPod: options.dialPod,
    });
    const apiDocuments = documents({
      kinds: options.kinds,
      version: options.version.gitVersion,
      address: `${options.advertise.address}:${options.advertise.port}`,
    });
    this.#handler = new Handler({
      core: this.#core,
      users,
      authorizer,
      subresources: this.#subresources,
      connectors: this.#connect.connectors,
      paths: pathHandler({
        version: options.version,
        health: this.#health(),
        metrics: this.#metrics,
        measurements: () => this.#measurements(),
        issuer,
        documents: apiDocuments.serve,
        apiPaths: apiDocuments.paths,
      }),
      metrics: this.#metrics,
      log: options.log,
      watchTimeout,
    });
  }

  #health(): HealthCheck[] {
    const fine = (): undefined => undefined;
    return [
      { name: 'ping', live: true, check: fine },
      { name: 'log', live: true, check: fine },
      { name: 'etcd', live: true, check: () => this.#registry.problem },
      { name: 'etcd-readiness', live: false, check: () => this.#registry.problem },
      { name: 'informer-sync', live: false, check: fine },
      { name: 'poststarthook/rbac/bootstrap-roles', live: true, check: fine },
      { name: 'poststarthook/scheduling/bootstrap-system-priority-classes', live: true, check: fine },
    ];
  }

  #measurements(): Parameters<RequestMetrics['text']>[0] {
    const { rss, heapUsed } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    let objects = 0;
    let watchers = 0;
    for (const cache of this.#registry.caches.values()) {
      objects += cache.size;
      watchers += cache.watchers;
    }
    return {
      apiserver_storage_objects_total: { type: 'gauge', help: 'Objects in the store.', value: objects },
      apiserver_registered_watchers: { type: 'gauge', help: 'Watches being served.', value: watchers },
      process_resident_memory_bytes: { type: 'gauge', help: 'Resident memory of the process.', value: rss },
      process_heap_used_bytes: { type: 'gauge', help: 'JavaScript heap in use.', value: heapUsed },
      process_cpu_seconds_total: { type: 'counter', help: 'CPU time of the process.', value: (user + system) / 1e6 },
    };
  }

  client(user: UserInfo): ApiClient {
    return new InProcessClient(this.#core, this.#authorizer, this.#subresources, user);
  }

  async listen(at: { readonly host: string; readonly port: number }): Promise<{ host: string; port: number }> {
    const { key, cert, clientCa } = this.#options.tls;
    const server = createSecureServer({
      key,
      cert,
      ca: clientCa,
      requestCert: true,
      rejectUnauthorized: false,
      allowHTTP1: true,
      minVersion: 'TLSv1.2',
      settings: { maxConcurrentStreams: 250, enableConnectProtocol: false },
      ...connectionLimits,
    } as SecureServerOptions);
    // Watches and streams are idle for as long as nothing happens.
    server.setTimeout(0);
    limitConnections(server, this.#options.clock);
    server.on('request', (request, response) => void this.#handler.handle(request, response));
    server.on(
      'upgrade',
      (request: IncomingMessage, socket: Duplex, head: Buffer) => void this.#connect.upgrade(request, socket, head),
    );
    server.on('tlsClientError', () => undefined);
    const bound = await listening(server, at);
    this.#stack.use(closer(server), 'HTTPS server');
    this.address = bound;
    return bound;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

function made<T>(part: FromReader<T>, reader: CacheReader): T {
  return typeof part === 'function' ? (part as (reader: CacheReader) => T)(reader) : part;
}

function listening(
  server: Http2SecureServer,
  at: { host: string; port: number },
): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, () => {
      server.off('error', reject);
      const bound = server.address();
      resolve({ host: at.host, port: typeof bound === 'object' && bound !== null ? bound.port : at.port });
    });
  });
}

/** Ends a server with its open connections: watches would keep it otherwise. */
function closer(server: Http2SecureServer): AsyncDisposable {
  const sockets = new Set<Duplex>();
  const sessions = new Set<ServerHttp2Session>();
  const track =
    <T extends Duplex | ServerHttp2Session>(set: Set<T>) =>
    (item: T): void => {
      set.add(item);
      item.once('close', () => set.delete(item));
    };
  server.on('secureConnection', track(sockets));
  server.on('session', track(sessions));
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const session of sessions) session.destroy();
        for (const socket of sockets) socket.destroy();
      }),
  };
}
