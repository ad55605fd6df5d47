import type { V1Service } from '@wherry/api';
import type { ApiServer } from '@wherry/apiserver';
import { DisposalStack, ipv4At, parseCidr, WherryError, writeFileAtomically } from '@wherry/base';
import { type ClusterPki, type KubeconfigContent, kubeconfigText } from '@wherry/bootstrap';
import { createInformerFactory, resources } from '@wherry/client';
import type { PortHolder } from '@wherry/network';
import type { PodStreams } from '@wherry/runtime';
import type { ClusterConfig } from './cluster-config.ts';
import { checkDns, dnsServiceAddress, ensureDnsService } from './cluster-dns.ts';
import { listen, openState, readerUser, type Surroundings, startApiServer } from './control-plane.ts';
import { startDocker } from './docker.ts';
import { startEngineOnly } from './engine-only.ts';
import { openImages } from './images.ts';
import { startControllers, startScheduler } from './loops.ts';
import type { Machine, Phase } from './machine.ts';
import { nodeCidr, openNetwork, startDns, startEngine, startKubelet, startProxy } from './node.ts';
import { defaultRouteAddress } from './node-address.ts';
import { nodePortHolder } from './node-ports.ts';
import { machinePaths } from './paths.ts';
import { startRegistry } from './registry.ts';
import { Loops } from './running-loops.ts';
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
    return await (config.engineOnly ? startEngineOnly(config, options, stack) : start(config, options, stack));
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}

/** What the steps of a start share. */
interface Start {
  readonly config: ClusterConfig;
  readonly options: StartOptions;
  /** Ends what was started, in reverse. */
  readonly stack: DisposalStack;
  /** The bridge's address, and the node's. */
  readonly gateway: string;
  readonly nodeIp: string;
  readonly dnsAddress: string;
}

async function start(config: ClusterConfig, options: StartOptions, stack: DisposalStack): Promise<Machine> {
  const startedAt = options.clock.now();
  const gateway = ipv4At(parseCidr(nodeCidr(config)), 1);
  const nodeIp = config.nodeIp ?? (await defaultRouteAddress()) ?? gateway;
  const step: Start = { config, options, stack, gateway, nodeIp, dnsAddress: dnsServiceAddress(config.serviceCidr) };

  const parts = await openParts(step);
  let streams: PodStreams | undefined;
  const server = await startServer(step, parts, (node) => (node === config.nodeName ? streams : undefined));
  // Before the kubelet, which may need an image of it.
  const registry = await startRegistry(config, parts.images, options);
  if (registry) stack.use(registry, 'registry');
  const loops = await startLoops(step, parts, server);
  streams = loops.kubelet.streams;
  const { clock } = options;
  const board = stack.use(new StatusBoard({ config, startedAt, nodeIp, clock, registry, ...loops }), 'status');
  await whenReady(step, server, loops, board);
  return {
    kubeconfig: kubeconfigOf(config, parts.pki),
    status: () => board.status(),
    async loadImages(archive) {
      const loaded = await parts.images.load(archive);
      await loops.kubelet.imagesChanged();
      return loaded.flatMap(({ id, names }) => (names.length > 0 ? names : [id]));
    },
    stopContainers: async () => (await loops.docker).stopContainers(),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** Opens what does not depend on each other side by side: state on disk, the bridge, the images. */
async function openParts({ config, options, stack, gateway, nodeIp }: Start) {
  options.onPhase('store');
  // Docker's side comes later; ports of the one are none of the other.
  const docker: { ports?: PortHolder } = {};
  const [{ store, pki }, network, images] = await Promise.all([
    openState(config, nodeIp, gateway, options),
    openNetwork(config, nodeCidr(config), options, (port) => docker.ports?.(port)),
    openImages(config, options),
  ]);
  stack.use(store, 'store');
  stack.use(network, 'network');
  stack.use(images, 'images');
  return { store, pki, network, images, docker };
}

type Parts = Awaited<ReturnType<typeof openParts>>;

async function startServer(
  { config, options, stack, gateway }: Start,
  { store, pki, docker }: Parts,
  streamsOf: (node: string) => PodStreams | undefined,
): Promise<ApiServer> {
  options.onPhase('api');
  const server = stack.use(
    await startApiServer(
      config,
      { store, pki, gateway, streamsOf, portHolder: (port) => docker.ports?.(port) },
      options,
    ),
    'API server',
  );
  const kubeconfig = kubeconfigText(kubeconfigOf(config, pki));
  await Promise.all([
    listen(server, config, gateway),
    writeFileAtomically(machinePaths(config).kubeconfig, kubeconfig),
  ]);
  return server;
}

/** Starts everything that follows the API: informers, kubelet, scheduler, controllers and the service proxy. */
async function startLoops({ config, options, stack, nodeIp, dnsAddress }: Start, parts: Parts, server: ApiServer) {
  const { clock, log, onPhase } = options;
  const { network, images, pki } = parts;
  const loops = stack.use(new Loops(log), 'control loops');
  const reader = server.client(readerUser);
  const informers = createInformerFactory({ client: reader, clock, log: log.with({ part: 'informers' }) });
  loops.run('informers', informers);
  onPhase('engine');
  const engine = stack.use(await startEngine(config, { network, images }, options), 'engine');
  const nodePorts = nodePortHolder(informers.informer<V1Service>(resources.services));
  const podPorts: PortHolder = (port) => network.portHolder(port) ?? nodePorts(port);
  const docker = startDocker(config, { engine, images, podPorts }, options).then((side) => {
    parts.docker.ports = side.portHolder;
    return stack.use(side, 'docker');
  });
  // Whoever waits for readiness sees a failure; until then it is not unhandled.
  docker.catch(() => undefined);
  // The loops end before the engine that they use.
  stack.defer(() => loops.end(), 'control loops');
  onPhase('node');
  const kubelet = startKubelet(config, { server, informers, engine, images, nodeIp, dnsAddress }, options);
  const proxy = startProxy(config, informers, options);
  loops.run('kubelet', kubelet);
  loops.run('scheduler', startScheduler(config, server, informers, options));
  loops.run('controllers', startControllers(config, server, informers, pki.ca.certificate, options));
  loops.run('kube-proxy', proxy);
  stack.use(
    images.onEvent(() => void kubelet.imagesChanged()),
    'image events',
  );
  return { loops, informers, kubelet, proxy, docker };
}

/** Resolves when the node is Ready, services have their rules and DNS answers; names what is missing after a while. */
async function whenReady(
  { config, options, stack, gateway, dnsAddress }: Start,
  server: ApiServer,
  { loops, informers, proxy, docker }: Awaited<ReturnType<typeof startLoops>>,
  board: StatusBoard,
): Promise<void> {
  const bounded = AbortSignal.timeout(startTimeout);
  const within = <T>(what: string, work: Promise<T>): Promise<T> => beforeAborted(work, bounded, loops, what);
  options.onPhase('dns');
  const answering = async (): Promise<void> => {
    stack.use(await startDns(config, gateway, informers, options), 'DNS');
    await ensureDnsService(server.client(readerUser), dnsAddress, gateway);
    await checkDns(gateway, config.clusterDomain);
    board.dnsReady = true;
  };
  await Promise.all([
    within('the node did not become Ready', board.nodeReady),
    within('the service proxy did not write its rules', proxy.synced),
    within('DNS did not answer', answering()),
    within('the docker API did not answer', docker),
  ]);
}

/** The administrator's kubeconfig: this machine's own way to the API server. */
function kubeconfigOf(config: ClusterConfig, { ca, admin }: ClusterPki): KubeconfigContent {
  return {
    name: config.name,
    server: `https://${localAddress(config)}:${config.apiPort}`,
    caCertificate: ca.certificate,
    user: admin,
  };
}

/** The address under which this machine itself reaches its API server. */
function localAddress({ listenAddresses }: ClusterConfig): string {
  const first = listenAddresses[0] ?? '127.0.0.1';
  return first === '0.0.0.0' ? '127.0.0.1' : first;
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
