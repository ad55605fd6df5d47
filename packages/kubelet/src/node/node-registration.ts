import { microTimeText, type V1Lease, type V1Node, type V1NodeStatus } from '@wherry/api';
import { type Clock, codeOf, type Logger, messageOf } from '@wherry/base';
import { type ApiClient, equalJson, resources } from '@wherry/client';
import type { ImageService } from '@wherry/runtime';
import type { MachineFacts } from './machine-facts.ts';
import { newNode, nodeLabels, nodeStatusOf } from './node-status.ts';

export interface NodeRegistrationOptions {
  readonly client: ApiClient;
  readonly images: ImageService;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly facts: MachineFacts;
  readonly maxPods: number;
  readonly kubeletVersion: string;
  readonly runtimeVersion: string;
  readonly kubeletPort: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly onRegistered: (node: V1Node) => void;
}

const renewal = 10_000; // of the lease; upstream's nodeLeaseDurationSeconds 40 / 4
const leaseSeconds = 40;
const statusRefresh = 300_000; // nodeStatusReportFrequency
const leaseNamespace = 'kube-node-lease';

/** Registers the node, keeps its Lease renewed and its status fresh. Only timers: nothing polls. */
export class NodeRegistration {
  readonly #options: NodeRegistrationOptions;
  readonly #timers = new Set<Disposable>();
  #stopped = false;
  #problem: string | undefined;
  #node: V1Node | undefined;
  #lease: V1Lease | undefined;
  #updating: Promise<void> | undefined;
  #stale = false;

  constructor(options: NodeRegistrationOptions) {
    this.#options = options;
  }

  /** Registers (trying again until it works) and starts the timers. `problem`: why the node is not ready. */
  async start(problem: string | undefined): Promise<void> {
    this.#problem = problem;
    await this.refresh();
    this.#every(statusRefresh, () => this.refresh());
    await this.#renew();
    this.#every(renewal, () => this.#renew());
  }

  /** Ends the timers. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer[Symbol.dispose]();
    this.#timers.clear();
  }

  /** Says why the node is not ready (`undefined`: it is) and writes that at once. */
  setProblem(problem: string | undefined): Promise<void> {
    if (this.#problem === problem) return Promise.resolve();
    this.#problem = problem;
    return this.refresh();
  }

  /** Writes the status now; calls meanwhile are joined into one more write. */
  async refresh(): Promise<void> {
    if (this.#updating) {
      this.#stale = true;
      return this.#updating;
    }
    this.#updating = this.#writeAll().finally(() => {
      this.#updating = undefined;
    });
    return this.#updating;
  }

  async #writeAll(): Promise<void> {
    do {
      this.#stale = false;
      try {
        await this.#write();
      } catch (error) {
        this.#options.log.warn('cannot write the node', { error: messageOf(error) });
        this.#node = undefined;
        this.#after(1000, () => this.refresh());
      }
    } while (this.#stale && !this.#stopped);
  }

  async #write(): Promise<void> {
    const { client, nodeName, facts, labels, onRegistered } = this.#options;
    const existing = this.#node ?? (await this.#get());
    const images = await this.#options.images.listImages().catch(() => []);
    const status = this.#status(images, existing?.status);
    if (existing === undefined) {
      const fresh = newNode(nodeName, facts, status);
      const object = { ...fresh, metadata: { ...fresh.metadata, labels: { ...fresh.metadata?.labels, ...labels } } };
      const created = await client.create<V1Node>(resources.nodes, object);
      onRegistered(created);
      // A create may drop the status: the next write brings it.
      this.#node = created.status?.conditions ? created : await this.#patch(created, status);
      return;
    }
    const wanted = { ...nodeLabels(nodeName, facts), ...labels };
    const missing = Object.entries(wanted).filter(([key, value]) => existing.metadata?.labels?.[key] !== value);
    if (missing.length > 0)
      await client.patch(resources.nodes, { name: nodeName }, 'merge', {
        metadata: { labels: Object.fromEntries(missing) },
      });
    this.#node = await this.#patch(existing, status);
    onRegistered(this.#node);
  }

  #status(images: Awaited<ReturnType<ImageService['listImages']>>, old: V1NodeStatus | undefined): V1NodeStatus {
    const { clock, ...rest } = this.#options;
    return nodeStatusOf({ ...rest, images, problem: this.#problem, now: clock.now(), old });
  }

  async #patch(node: V1Node, status: V1NodeStatus): Promise<V1Node> {
    const { client, nodeName } = this.#options;
    const patch: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(status))
      if (!equalJson(value, (node.status as Record<string, unknown> | undefined)?.[key]))
        patch[key] = key === 'addresses' ? [...(value as unknown[]), { $patch: 'replace' }] : value;
    if (Object.keys(patch).length === 0) return node;
    return client.patch<V1Node>(
      resources.nodes,
      { name: nodeName },
      'strategic',
      { status: patch },
      { subresource: 'status' },
    );
  }

  async #get(): Promise<V1Node | undefined> {
    try {
      return await this.#options.client.get<V1Node>(resources.nodes, { name: this.#options.nodeName });
    } catch (error) {
      if (codeOf(error) === 'notFound') return undefined;
      throw error;
    }
  }

  async #renew(): Promise<void> {
    const { client, nodeName, clock, log } = this.#options;
    const now = microTimeText(clock.now());
    const spec = { holderIdentity: nodeName, leaseDurationSeconds: leaseSeconds, renewTime: now };
    try {
      this.#lease ??= await this.#existingLease();
      if (this.#lease === undefined) {
        const { uid = '' } = this.#node?.metadata ?? {};
        const owner = { apiVersion: 'v1', kind: 'Node', name: nodeName, uid };
        const metadata = { name: nodeName, namespace: leaseNamespace, ...(uid ? { ownerReferences: [owner] } : {}) };
        this.#lease = await client.create<V1Lease>(resources.leases, {
          apiVersion: 'coordination.k8s.io/v1',
          kind: 'Lease',
          metadata,
          spec,
        });
      } else
        this.#lease = await client.update<V1Lease>(resources.leases, {
          ...this.#lease,
          spec: { ...this.#lease.spec, ...spec },
        });
    } catch (error) {
      this.#lease = undefined;
      log.warn('cannot renew the node lease', { error: messageOf(error) });
      this.#after(1000, () => this.#renew());
    }
  }

  async #existingLease(): Promise<V1Lease | undefined> {
    try {
      return await this.#options.client.get<V1Lease>(resources.leases, {
        namespace: leaseNamespace,
        name: this.#options.nodeName,
      });
    } catch (error) {
      if (codeOf(error) === 'notFound') return undefined;
      throw error;
    }
  }

  #every(ms: number, work: () => Promise<void>): void {
    this.#after(ms, async () => {
      this.#every(ms, work);
      await work();
    });
  }

  #after(ms: number, work: () => Promise<void>): void {
    if (this.#stopped) return;
    const timer = this.#options.clock.after(ms, () => {
      this.#timers.delete(timer);
      if (!this.#stopped) void work();
    });
    this.#timers.add(timer);
  }
}
