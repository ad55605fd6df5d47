import {
  DisposalStack,
  ipv4At,
  type Logger,
  messageOf,
  parseCidr,
  WherryError,
  writeFileAtomically,
} from '@wherry/base';
import { type KubeconfigContent, kubeconfigText } from '@wherry/bootstrap';
import { createInformerFactory } from '@wherry/client';
import { openImageStore } from '@wherry/images';
import type { PodStreams } from '@wherry/runtime';
import { checkDns, dnsServiceAddress, ensureDnsService } from './cluster-dns.ts';
import type { ClusterConfig } from './config.ts';
import { listen, openState, readerUser, type Surroundings, startApiServer } from './control-plane.ts';
import { startControllers, startScheduler } from './loops.ts';
import type { Machine, Phase } from './machine.ts';
import { nodeCidr, openNetwork, startDns, startEngine, startKubelet, startProxy } from './node.ts';
import { defaultRouteAddress } from './node-address.ts';
import { machinePaths } from './paths.ts';
import { StatusBoard } from './status-board.ts';

export interface StartOptions extends Surroundings {
  readonly onPhase: (phase: Phase) => void;
}

/** How long a start may take until what is still missing is named as an error. */
const startTimeout = 30_000;

/**
 * Brings a whole cluster up in this process and resolves when the API answers, the node is Ready and DNS
 * answers. On failure everything that was started is ended again; containers of an earlier run stay.
 */
export async function startMachine(config: ClusterConfig, options: StartOptions): Promise<Machine> {
  const stack = new DisposalStack(options.log);
  try {
    return await start(config, options, stack);
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}

async function start(config: ClusterConfig, options: StartOptions, stack: DisposalStack): Promise<Machine> {
  const { log, clock, onPhase } = options;
  const startedAt = clock.now();
  const paths = machinePaths(config);
  const gateway = ipv4At(parseCidr(nodeCidr(config)), 1);
  const nodeIp = config.nodeIp ?? (await defaultRouteAddress()) ?? gateway;
  const dnsAddress = dnsServiceAddress(config.serviceCidr);
  const stop = new AbortController();
  const loops = new Loops(stop, log);

  onPhase('store');
  const [{ store, pki }, network, images] = await Promise.all([
    openState(config, nodeIp, gateway, options),
    openNetwork(config, nodeCidr(config), options),
    openImageStore({ directory: paths.images, log: log.with({ part: 'images' }), clock }),
  ]);
  stack.use(store, 'store');
  stack.use(network, 'network');
  stack.use(images, 'images');

  onPhase('api');
  let streams: PodStreams | undefined;
  const server = stack.use(
    await startApiServer(
      config,
      { store, pki, gateway, streamsOf: (node) => (node === config.nodeName ? streams : undefined) },
      options,
    ),
    'API server',
  );
  const kubeconfig: KubeconfigContent = {
    name: config.name,
    server: `https://${localAddress(config)}:${config.apiPort}`,
    caCertificate: pki.ca.certificate,
    user: pki.admin,
  };
  await Promise.all([
    listen(server, config, gateway),
    writeFileAtomically(paths.kubeconfig, kubeconfigText(kubeconfig)),
  ]);
  const informers = createInformerFactory({
    client: server.client(readerUser),
    clock,
    log: log.with({ part: 'informers' }),
  });
  stack.defer(() => loops.end(), 'control loops');
  loops.add('informers', informers.run(stop.signal));

  onPhase('engine');
  const engine = stack.use(await startEngine(config, { network, images }, options), 'engine');

  onPhase('node');
  const kubelet = startKubelet(config, { server, informers, engine, images, nodeIp, dnsAddress }, options);
  streams = kubelet.streams;
  loops.add('kubelet', kubelet.run(stop.signal));
  loops.add('scheduler', startScheduler(config, server, informers, options).run(stop.signal));
  loops.add('controllers', startControllers(config, server, informers, pki.ca.certificate, options).run(stop.signal));
  const proxy = startProxy(config, informers, options);
  loops.add('kube-proxy', proxy.run(stop.signal));

  const board = new StatusBoard({ config, startedAt, nodeIp, informers, clock, loops });
  stack.use(board, 'status');
  const bounded = AbortSignal.timeout(startTimeout);
  const within = <T>(what: string, work: Promise<T>): Promise<T> => beforeAborted(work, bounded, loops, what);

  onPhase('dns');
  stack.use(await startDns(config, gateway, informers, options), 'DNS');
  await Promise.all([
    within('the node did not become Ready', board.nodeReady),
    within('the service proxy did not write its rules', proxy.synced),
    within(
      'DNS did not answer',
      ensureDnsService(server.client(readerUser), dnsAddress, gateway).then(() =>
        checkDns(gateway, config.clusterDomain),
      ),
    ),
  ]);
  board.dnsReady = true;

  return {
    kubeconfig,
    status: () => board.status(),
    async loadImages(archive) {
      const loaded = await images.load(archive);
      await kubelet.refreshNode();
      return loaded.flatMap(({ id, names }) => (names.length > 0 ? names : [id]));
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** The address under which this machine itself reaches its API server. */
function localAddress({ listenAddresses }: ClusterConfig): string {
  const first = listenAddresses[0] ?? '127.0.0.1';
  return first === '0.0.0.0' ? '127.0.0.1' : first;
}

/** The loops of a machine, and the first of them that ended when it should not have. */
export class Loops {
  readonly #stop: AbortController;
  readonly #log: Logger;
  readonly #running: Promise<void>[] = [];
  readonly failures = new Map<string, string>();
  readonly names: string[] = [];

  constructor(stop: AbortController, log: Logger) {
    this.#stop = stop;
    this.#log = log;
  }

  add(name: string, run: Promise<void>): void {
    this.names.push(name);
    this.#running.push(
      run.then(
        () => this.#ended(name, 'it ended'),
        (error: unknown) => this.#ended(name, messageOf(error), error),
      ),
    );
  }

  #ended(name: string, message: string, error?: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#log.error('a control loop ended', { loop: name, error: message, stack: (error as Error | undefined)?.stack });
    this.failures.set(name, message);
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }
}

async function beforeAborted<T>(work: Promise<T>, signal: AbortSignal, loops: Loops, what: string): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => {
      const failed = [...loops.failures].map(([name, message]) => `${name}: ${message}`).join('; ');
      reject(new WherryError('timeout', `${what} within ${startTimeout / 1000} s${failed && ` (${failed})`}`));
    };
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
