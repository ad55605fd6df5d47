import { mkdir } from 'node:fs/promises';
import type { V1Node, V1Pod, V1Service } from '@wherry/api';
import { type Clock, codeOf, type Logger, messageOf, sleep } from '@wherry/base';
import {
  type ApiClient,
  type Change,
  createEventRecorder,
  type EventRecorder,
  type Informer,
  type InformerFactory,
  resources,
} from '@wherry/client';
import type { DnsConfig, ImageService, PodKey, PodStreams, RuntimeEvent, RuntimeService } from '@wherry/runtime';
import { createPodVolumes } from '@wherry/volumes';
import { ImagePuller } from './images/image-puller.ts';
import { admitPod } from './node/admission.ts';
import { type MachineFacts, readMachineFacts } from './node/machine-facts.ts';
import { NodeRegistration } from './node/node-registration.ts';
import { allocatableOf } from './node/node-status.ts';
import { removeOrphans } from './orphans.ts';
import { type BackOffSettings, defaultBackOff } from './pod/back-off.ts';
import { type ClusterDns, hostDns } from './pod/dns.ts';
import { podLabels } from './pod/labels.ts';
import type { NodeContext } from './pod/node-context.ts';
import { ObjectWatches } from './pod/object-watches.ts';
import { QosGroups } from './pod/qos-groups.ts';
import { PodWorker } from './pod/worker.ts';
import { StatsReader, type StatsSummary } from './stats.ts';
import { LogRotation, type RotationSettings } from './streams/log-rotation.ts';
import { createPodStreams } from './streams/pod-streams.ts';
import { volumeObjects } from './volume-objects.ts';

/** Settings of a kubelet. Folders are absolute. */
export interface KubeletOptions {
  readonly nodeName: string;
  /** The first is the primary address. */
  readonly nodeIps: readonly string[];
  readonly client: ApiClient;
  /** Run by the caller. */
  readonly informers: InformerFactory;
  readonly runtime: RuntimeService;
  readonly images: ImageService;
  /** Each pod has a folder `<rootDirectory>/<uid>`; see `sharePropagation` of volumes. */
  readonly rootDirectory: string;
  /** Each pod has a folder `<namespace>_<name>_<uid>` in it. */
  readonly logDirectory: string;
  /** Below the machine's cgroup parent. Default `kubepods`. */
  readonly cgroupRoot?: string;
  readonly clusterDns?: readonly string[];
  readonly clusterDomain?: string;
  /** The host's resolver configuration. Default `/etc/resolv.conf`. */
  readonly resolvConf?: string;
  readonly kubeletVersion: string;
  readonly kubeletPort?: number;
  readonly maxPods?: number;
  /** More labels for the node. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Default: read from this machine. */
  readonly machineFacts?: () => Promise<MachineFacts>;
  readonly restartBackOff?: BackOffSettings;
  readonly imageBackOff?: BackOffSettings;
  readonly logRotation?: RotationSettings;
  readonly events?: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The node agent: brings the pods that are bound to its node to life and reports on them. */
export interface Kubelet {
  /** Works until the signal fires; containers go on then. Rejects when the runtime's event stream cannot be had. */
  run(signal: AbortSignal): Promise<void>;
  readonly streams: PodStreams;
  /** CPU and memory of the node's pods (upstream's `/stats/summary`). */
  statsSummary(): Promise<StatsSummary>;
  /** Resolves when the node is registered and ready. */
  readonly ready: Promise<void>;
  /** Images came or went: pods that wait for one try again now, and the node's status is written anew. */
  imagesChanged(): Promise<void>;
}

const defaultCgroupRoot = 'kubepods';

/** Makes a kubelet; nothing happens before `run`. */
export function createKubelet(options: KubeletOptions): Kubelet {
  return new NodeAgent(options);
}

class NodeAgent implements Kubelet {
  readonly streams: PodStreams;
  readonly ready: Promise<void>;
  readonly #options: KubeletOptions;
  readonly #log: Logger;
  readonly #workers = new Map<string, PodWorker>();
  readonly #exits = new Map<string, Set<() => void>>();
  readonly #rotation: LogRotation;
  readonly #stats: StatsReader;
  readonly #events: EventRecorder;
  #markReady!: () => void;
  #facts: MachineFacts | undefined;
  #node: V1Node | undefined;
  #runtimeName = 'wherry';
  #registration: NodeRegistration | undefined;
  #context: NodeContext | undefined;
  #pods: Informer<V1Pod> | undefined;
  readonly #qos: QosGroups;

  constructor(options: KubeletOptions) {
    const { runtime, clock, client, nodeName } = options;
    this.#options = options;
    this.#log = options.log.with({ part: 'kubelet' });
    this.#rotation = new LogRotation(runtime, clock, this.#log, options.logRotation);
    this.#stats = new StatsReader(runtime, clock, this.#log);
    this.#qos = new QosGroups({
      runtime,
      cgroupRoot: options.cgroupRoot ?? defaultCgroupRoot,
      log: this.#log,
      pods: () => [...this.#workers.values()].filter(({ active }) => active).map(({ pod }) => pod),
    });
    this.#events =
      options.events ?? createEventRecorder({ client, component: 'kubelet', host: nodeName, clock, log: this.#log });
    this.ready = new Promise((resolve) => {
      this.#markReady = resolve;
    });
    this.streams = createPodStreams({
      runtime,
      clock,
      find: (key) => this.#find(key)?.pod,
      waitingReason: (pod, container) => this.#waitingReason(pod, container),
      onExit: (id, callback) => this.#onExit(id, callback),
    });
  }

  statsSummary(): Promise<StatsSummary> {
    return this.#stats.summary(this.#options.nodeName);
  }

  async imagesChanged(): Promise<void> {
    for (const worker of this.#workers.values()) worker.imagesChanged();
    await this.#registration?.refresh();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { runtime, rootDirectory, logDirectory, informers, nodeName } = this.#options;
    await Promise.all([
      mkdir(rootDirectory, { recursive: true, mode: 0o750 }),
      mkdir(logDirectory, { recursive: true, mode: 0o755 }),
    ]);
    const following = this.#follow(runtime.events(signal), signal);
    this.#facts = await (this.#options.machineFacts ?? (() => readMachineFacts(rootDirectory)))();
    const watches = this.#makeContext();
    const services = informers.informer<V1Service>(resources.services);
    const pods = informers.informer<V1Pod>(resources.pods, { fieldSelector: `spec.nodeName=${nodeName}` });
    this.#pods = pods;
    const registering = this.#register(signal);
    const listeners: Disposable[] = [];
    try {
      // Environment variables of services must be whole before the first container starts.
      await Promise.race([Promise.all([services.synced, pods.synced]), aborted(signal)]);
      if (!signal.aborted) {
        listeners.push(pods.onChange((change) => this.#podChanged(change)));
        await this.#removeOrphans();
      }
      await Promise.all([following, registering]);
    } finally {
      for (const listener of listeners) listener[Symbol.dispose]();
      for (const worker of this.#workers.values()) worker.detach();
      this.#workers.clear();
      this.#registration?.stop();
      this.#rotation[Symbol.dispose]();
      watches.stop();
      if (this.#options.events === undefined) await this.#events[Symbol.asyncDispose]();
    }
  }

  #makeContext(): ObjectWatches {
    const {
      client,
      clock,
      runtime,
      images,
      informers,
      clusterDns = [],
      clusterDomain = 'cluster.local',
    } = this.#options;
    const log = this.#log;
    const watches = new ObjectWatches({
      client,
      clock,
      log,
      onChange: (uid) => this.#workers.get(uid)?.referencesChanged(),
    });
    const services = informers.informer<V1Service>(resources.services);
    let dns: Promise<DnsConfig> | undefined;
    const cluster: ClusterDns | undefined =
      clusterDns.length === 0 ? undefined : { servers: clusterDns, domain: clusterDomain };
    this.#context = {
      nodeName: this.#options.nodeName,
      nodeIps: this.#options.nodeIps,
      client,
      runtime,
      images,
      clock,
      log,
      watches,
      clusterDomain,
      clusterDns: cluster,
      puller: new ImagePuller(images, clock, this.#options.imageBackOff ?? defaultBackOff),
      volumes: createPodVolumes({
        rootDirectory: this.#options.rootDirectory,
        objects: volumeObjects(client, watches, clock),
        clock,
        log,
      }),
      logDirectory: this.#options.logDirectory,
      cgroupRoot: this.#options.cgroupRoot ?? defaultCgroupRoot,
      restartBackOff: this.#options.restartBackOff ?? defaultBackOff,
      runtimeName: () => this.#runtimeName,
      allocatable: () => (this.#facts ? allocatableOf(this.#facts, this.#maxPods()) : {}),
      memoryCapacity: () => this.#facts?.memoryBytes ?? 0,
      hostDns: () => {
        dns ??= hostDns(this.#options.resolvConf ?? '/etc/resolv.conf');
        return dns;
      },
      services: () => services.list(),
      recordEvent: (about, type, reason, message) => this.#events.event({ reference: about }, type, reason, message),
      admit: async (pod) => this.#admit(pod),
      runtimeHandler: (pod) => this.#runtimeHandler(pod),
      gone: (uid) => this.#gone(uid),
    };
    return watches;
  }

  #maxPods(): number {
    return this.#options.maxPods ?? 110;
  }

  #admit(pod: V1Pod): ReturnType<typeof admitPod> {
    const allocatable = this.#context?.allocatable() ?? {};
    const others = [...this.#workers.values()]
      .filter((worker) => worker.active && worker.uid !== pod.metadata?.uid)
      .map((worker) => worker.pod);
    return admitPod(pod, this.#node, allocatable, others);
  }

  async #runtimeHandler(pod: V1Pod): Promise<string | undefined> {
    const name = pod.spec?.runtimeClassName;
    if (!name) return undefined;
    const resource = { group: 'node.k8s.io', version: 'v1', resource: 'runtimeclasses', namespaced: false };
    const found = await this.#options.client.get<{ metadata?: object; handler?: string }>(resource, { name });
    return found.handler;
  }

  /** Registers the node; `Ready` follows as soon as the runtime is. */
  async #register(signal: AbortSignal): Promise<void> {
    const {
      client,
      images,
      clock,
      nodeName,
      nodeIps,
      kubeletVersion,
      kubeletPort = 10250,
      labels = {},
      runtime,
    } = this.#options;
    const facts = this.#facts;
    if (facts === undefined) return;
    const problem = runtime.ready().then(
      () => undefined,
      (error: unknown) => `container runtime is not ready: ${messageOf(error)}`,
    );
    const { runtimeName, runtimeVersion } = await runtime.version();
    this.#runtimeName = runtimeName;
    const registration = new NodeRegistration({
      client,
      images,
      clock,
      nodeName,
      nodeIps,
      facts,
      kubeletVersion,
      kubeletPort,
      labels,
      log: this.#log,
      maxPods: this.#maxPods(),
      runtimeVersion: `${runtimeName}://${runtimeVersion}`,
      onRegistered: (node) => {
        this.#node = node;
      },
    });
    this.#registration = registration;
    let reason = await problem;
    await registration.start(reason);
    for (let delay = 1000; reason !== undefined && !signal.aborted; delay = Math.min(delay * 2, 60_000)) {
      await sleep(clock, delay, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      reason = await runtime.ready().then(
        () => undefined,
        (error: unknown) => `container runtime is not ready: ${messageOf(error)}`,
      );
      await registration.setProblem(reason);
    }
    this.#markReady();
  }

  async #removeOrphans(): Promise<void> {
    const context = this.#context;
    if (context === undefined) return;
    const { runtime, rootDirectory, logDirectory } = this.#options;
    try {
      const known = (): ReadonlySet<string> => new Set(this.#workers.keys());
      await removeOrphans({ runtime, volumes: context.volumes, rootDirectory, logDirectory, log: this.#log, known });
    } catch (error) {
      this.#log.warn('cannot remove what gone pods left', { error: messageOf(error) });
    }
  }

  #podChanged(change: Change<V1Pod>): void {
    const uid = change.object.metadata?.uid ?? '';
    if (change.type === 'deleted') {
      this.#workers.get(uid)?.removed();
      return;
    }
    // Deleted and made again between two looks: another pod of the same name.
    if (change.type === 'updated' && change.previous.metadata?.uid !== uid)
      this.#workers.get(change.previous.metadata?.uid ?? '')?.removed();
    const worker = this.#workers.get(uid);
    if (worker) {
      worker.update(change.object);
      const { phase } = change.object.status ?? {};
      if (phase === 'Succeeded' || phase === 'Failed') this.#qos.podsChanged();
      return;
    }
    if (this.#context === undefined) return;
    const fresh = new PodWorker(this.#context, change.object);
    this.#workers.set(uid, fresh);
    fresh.wake();
    this.#qos.podsChanged();
  }

  #gone(uid: string): void {
    this.#workers.delete(uid);
    this.#qos.podsChanged();
    // The object may have come back to our sight meanwhile (a finalizer was removed late).
    this.#context?.puller.prune();
  }

  async #follow(events: AsyncIterable<RuntimeEvent>, signal: AbortSignal): Promise<void> {
    try {
      for (const run of await this.#options.runtime.listContainers())
        if (run.state === 'running') this.#rotation.add(run.id, run.logPath);
      for await (const event of events) await this.#runtimeEvent(event);
    } catch (error) {
      if (!signal.aborted && codeOf(error) !== 'cancelled') throw error;
    }
  }

  async #runtimeEvent(event: RuntimeEvent): Promise<void> {
    if (event.type === 'containerExited') {
      for (const callback of this.#exits.get(event.containerId) ?? []) callback();
      this.#rotation.delete(event.containerId);
    } else if (event.type === 'containerStarted') {
      const [run] = await this.#options.runtime.listContainers({ id: event.containerId });
      if (run) this.#rotation.add(run.id, run.logPath);
    }
    const uid = event.labels[podLabels.uid];
    if (uid !== undefined) this.#workers.get(uid)?.wake();
  }

  #onExit(id: string, callback: () => void): Disposable {
    const callbacks = this.#exits.get(id) ?? new Set();
    callbacks.add(callback);
    this.#exits.set(id, callbacks);
    return {
      [Symbol.dispose]: () => {
        callbacks.delete(callback);
        if (callbacks.size === 0) this.#exits.delete(id);
      },
    };
  }

  #find({ namespace, name, uid }: PodKey): PodWorker | undefined {
    if (uid !== undefined) return this.#workers.get(uid);
    const known = this.#pods?.get(`${namespace}/${name}`);
    return known && this.#workers.get(known.metadata?.uid ?? '');
  }

  #waitingReason(pod: V1Pod, container: string): string | undefined {
    const status = this.#workers.get(pod.metadata?.uid ?? '')?.status ?? pod.status;
    const all = [
      ...(status?.containerStatuses ?? []),
      ...(status?.initContainerStatuses ?? []),
      ...(status?.ephemeralContainerStatuses ?? []),
    ];
    return all.find(({ name }) => name === container)?.state?.waiting?.reason;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
