import type { V1Node, V1Pod } from '@wherry/api';
import { type Clock, deferred } from '@wherry/base';
import { type Informer, type InformerFactory, resources } from '@wherry/client';
import { wherryVersion } from '../version.ts';
import type { ClusterConfig } from './cluster-config.ts';
import type { ComponentStatus, MachineStatus } from './machine.ts';
import { dockerSocketPath } from './paths.ts';
import type { MachineRegistry } from './registry.ts';

export interface StatusBoardOptions {
  readonly config: ClusterConfig;
  readonly startedAt: number;
  readonly nodeIp: string;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly registry: MachineRegistry | undefined;
  /** Loops by name, and why those that ended did. */
  readonly loops: { readonly names: readonly string[]; readonly failures: ReadonlyMap<string, string> };
}

/** What is known of the machine's parts, from their own objects and loops. */
export class StatusBoard implements Disposable {
  readonly #options: StatusBoardOptions;
  readonly #nodes: Informer<V1Node>;
  readonly #pods: Informer<V1Pod>;
  readonly #subscription: Disposable;
  /** Resolves when this node is Ready under this process. */
  readonly nodeReady: Promise<void>;
  dnsReady = false;

  constructor(options: StatusBoardOptions) {
    this.#options = options;
    this.#nodes = options.informers.informer<V1Node>(resources.nodes);
    this.#pods = options.informers.informer<V1Pod>(resources.pods);
    const ready = deferred();
    this.nodeReady = ready.promise;
    this.#subscription = this.#nodes.onChange(() => {
      if (this.#node().ready) ready.resolve();
    });
  }

  /** The node is as ready as its Ready condition says; one written by an earlier process does not count. */
  #node(): { ready: boolean; message: string } {
    const { nodeName } = this.#options.config;
    const condition = this.#nodes.get(nodeName)?.status?.conditions?.find(({ type }) => type === 'Ready');
    if (!condition) return { ready: false, message: `node ${nodeName} is not registered` };
    const fresh = Date.parse(condition.lastHeartbeatTime ?? '') >= Math.floor(this.#options.startedAt / 1000) * 1000;
    return { ready: condition.status === 'True' && fresh, message: condition.message ?? '' };
  }

  status(): MachineStatus {
    const { config, startedAt, nodeIp, registry, loops } = this.#options;
    const node = this.#node();
    const pods = this.#pods.list();
    const running = pods.filter((pod) => pod.status?.phase === 'Running').length;
    const apiServer = `https://${config.listenAddresses[0]}:${config.apiPort}`;
    const loop = (name: string, title: string, message: string): ComponentStatus => {
      const failure = loops.failures.get(name);
      return { name: title, ready: failure === undefined, message: failure ?? message };
    };
    const components: ComponentStatus[] = [
      { name: 'API server', ready: true, message: apiServer },
      loop('scheduler', 'scheduler', 'default-scheduler'),
      loop('controllers', 'controllers', 'all controllers'),
      { name: 'node', ready: node.ready, message: `${config.nodeName}, ${nodeIp}: ${node.message}` },
      loop('kube-proxy', 'services', `${config.serviceCidr} by nftables`),
      { name: 'DNS', ready: this.dnsReady, message: config.clusterDomain },
      { name: 'docker API', ready: true, message: `unix://${dockerSocketPath(config)}` },
      ...(registry ? [registry.status()] : []),
      { name: 'pods', ready: true, message: `${running} of ${pods.length} running, ${config.clusterCidr}` },
    ];
    return {
      name: config.name,
      version: wherryVersion,
      pid: process.pid,
      startedAt,
      ready: components.every((part) => part.ready),
      components,
      apiServer,
      node: { name: config.nodeName, addresses: [nodeIp], ready: node.ready },
      pods: { running, total: pods.length },
      memoryBytes: process.memoryUsage.rss(),
    };
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}
