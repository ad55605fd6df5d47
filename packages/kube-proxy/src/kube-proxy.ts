import type { V1EndpointSlice, V1Service } from '@wherry/api';
import { type Clock, deferred, type Logger, messageOf, systemClock } from '@wherry/base';
import { type Informer, type InformerFactory, resources } from '@wherry/client';
import { Nftables, WatchedTable } from '@wherry/linux';
import { RuleSet } from './rule-set.ts';
import { type PortPlan, planService } from './service-plan.ts';
import { noRules, renderService, type ServiceRules } from './service-rules.ts';
import { forgetStaleConnections } from './stale-connections.ts';
import { baseTable } from './table.ts';

/** What `createKubeProxy` needs to know. */
export interface KubeProxyOptions {
  readonly informers: InformerFactory;
  readonly nodeName: string;
  /** Range of all pods: their traffic keeps its source address. */
  readonly clusterCidr: string;
  /** Range of cluster IPs; when given, unallocated ones are refused. */
  readonly serviceCidr?: string | undefined;
  /** Name of the nftables table; default `wherry-proxy`. One per cluster on a machine. */
  readonly table?: string | undefined;
  /** Path of the machine's network namespace; default this process's. */
  readonly netns?: string | undefined;
  /** Bit of the packet mark; default 0x4000, as upstream. */
  readonly masqueradeBit?: number | undefined;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
}

/** The service proxy of a node. */
export interface KubeProxy {
  /** Resolves when the rules of everything known at the start are in force. */
  readonly synced: Promise<void>;
  /** Keeps the rules as the services and endpoints say until the signal fires; they stay in force afterwards. */
  run(signal: AbortSignal): Promise<void>;
  /** Removes the table. */
  destroy(): void;
}

const serviceNameLabel = 'kubernetes.io/service-name';
/** Changes within this many milliseconds become one transaction. */
const gatherMs = 3;
/** Services in one transaction; between two the event loop gets its turn. */
const batchSize = 100;
const firstRetryMs = 500;
const lastRetryMs = 30_000;

/**
 * Makes the proxy; it works while `run` does. Each change re-renders only its own service, and a
 * batch of changes is one transaction of nftables, so that no packet ever sees half of it.
 */
export function createKubeProxy(options: KubeProxyOptions): KubeProxy {
  return new NftablesProxy(options);
}

/** Removes a proxy's table and all its rules, where there are any. */
export function removeProxyTable(table: string, netns?: string): void {
  using nftables = Nftables.open({ netns });
  nftables.run(removalOf(table));
}

/** Adding first makes the removal of what is not there no error. */
function removalOf(table: string): string {
  return `add table ip ${table}\ndelete table ip ${table}`;
}

class NftablesProxy implements KubeProxy {
  readonly #options: KubeProxyOptions;
  readonly #table: string;
  readonly #clock: Clock;
  readonly #services: Informer<V1Service>;
  readonly #slices: Informer<V1EndpointSlice>;
  readonly #synced = deferred();
  readonly #dirty = new Set<string>();
  /** Ports of the services that have UDP among them, as last applied. */
  readonly #udpPorts = new Map<string, readonly PortPlan[]>();
  #nftables: WatchedTable | undefined;
  #rules: RuleSet | undefined;
  #timer: Disposable | undefined;
  #retryMs = firstRetryMs;

  constructor(options: KubeProxyOptions) {
    this.#options = options;
    this.#table = options.table ?? 'wherry-proxy';
    this.#clock = options.clock ?? systemClock;
    this.#services = options.informers.informer<V1Service>(resources.services);
    this.#slices = options.informers.informer<V1EndpointSlice>(resources.endpointSlices, {
      indexes: { service: (slice) => [serviceKeyOf(slice)] },
    });
  }

  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  async run(signal: AbortSignal): Promise<void> {
    const stopped = deferred();
    signal.addEventListener('abort', () => stopped.resolve(), { once: true });
    if (signal.aborted) return;
    await Promise.race([Promise.all([this.#services.synced, this.#slices.synced]), stopped.promise]);
    if (signal.aborted) return;
    // Before the first flush every change is part of the full one.
    using _services = this.#services.onChange(({ object }) => this.#touch(keyOf(object)));
    using _slices = this.#slices.onChange((change) => {
      this.#touch(serviceKeyOf(change.object));
      if (change.type === 'updated') this.#touch(serviceKeyOf(change.previous));
    });
    this.#flush();
    await stopped.promise;
    this.#timer?.[Symbol.dispose]();
    this.#nftables?.[Symbol.dispose]();
    this.#nftables = undefined;
    this.#rules = undefined;
  }

  destroy(): void {
    // While it runs, a removal by anybody else is put right.
    if (this.#nftables) this.#nftables.run(removalOf(this.#table));
    else removeProxyTable(this.#table, this.#options.netns);
  }

  #touch(service: string): void {
    this.#dirty.add(service);
    this.#timer ??= this.#clock.after(gatherMs, () => this.#flush());
  }

  #flush(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    try {
      this.#nftables ??= this.#open();
      if (this.#rules === undefined) this.#applyAll(this.#nftables);
      else this.#applyChanges(this.#nftables, this.#rules);
      this.#retryMs = firstRetryMs;
      this.#synced.resolve();
    } catch (error) {
      // What the table holds is unknown now (somebody may have removed it): write all of it next time.
      this.#options.log.warn('the rules of services could not be applied', { error: messageOf(error) });
      this.#rules = undefined;
      this.#timer = this.#clock.after(this.#retryMs, () => this.#flush());
      this.#retryMs = Math.min(this.#retryMs * 2, lastRetryMs);
    }
    if (this.#dirty.size > 0) this.#timer ??= this.#clock.after(0, () => this.#flush());
  }

  #open(): WatchedTable {
    return WatchedTable.open({
      table: this.#table,
      netns: this.#options.netns,
      log: this.#options.log,
      clock: this.#clock,
      restore: () => {
        this.#rules = undefined;
        this.#flush();
      },
    });
  }

  #applyAll(nftables: WatchedTable): void {
    this.#dirty.clear();
    const rules = new RuleSet(this.#table);
    const { serviceCidr, masqueradeBit = 0x4000 } = this.#options;
    const stale = [...this.#udpPorts.values()].flat();
    this.#udpPorts.clear();
    const all = new Map(this.#services.list().map((service) => [keyOf(service), this.#render(service)]));
    const base = baseTable({ table: this.#table, serviceCidr, masqueradeBit });
    nftables.run(base + rules.update(all));
    this.#forgetStale([...this.#udpPorts.values()].flat(), stale);
    this.#warnOfContested(rules);
    this.#rules = rules;
  }

  #applyChanges(nftables: WatchedTable, rules: RuleSet): void {
    const batch = [...this.#dirty].slice(0, batchSize);
    for (const key of batch) this.#dirty.delete(key);
    const before = batch.flatMap((key) => this.#udpPorts.get(key) ?? []);
    const changes = new Map(
      batch.map((key) => {
        const service = this.#services.get(key);
        this.#udpPorts.delete(key);
        return [key, service === undefined ? noRules : this.#render(service)];
      }),
    );
    const commands = rules.update(changes);
    if (commands === '') return;
    try {
      nftables.run(commands);
    } catch (error) {
      if (!this.#replaceLostTable(nftables, error)) throw error;
    }
    this.#forgetStale(
      batch.flatMap((key) => this.#udpPorts.get(key) ?? []),
      before,
    );
    for (const key of rules.takeWoken()) this.#dirty.add(key);
    this.#warnOfContested(rules);
  }

  /** When the table was removed under us, writing it anew is no failure to wait after. */
  #replaceLostTable(nftables: WatchedTable, error: unknown): boolean {
    const lost = (error as { code?: unknown } | null)?.code === 'notFound';
    if (!lost) return false;
    this.#options.log.warn('the table of services was changed by somebody else; writing it anew', {
      table: this.#table,
    });
    this.#applyAll(nftables);
    return true;
  }

  #render(service: V1Service): ServiceRules {
    const slices = this.#slices.byIndex('service', keyOf(service));
    const ports = planService(service, slices, this.#options.nodeName);
    if (ports.some(({ protocol }) => protocol === 'udp')) this.#udpPorts.set(keyOf(service), ports);
    return renderService(ports, this.#options.clusterCidr);
  }

  /** `before` are ports as they were: those that are no more have no endpoints. */
  #forgetStale(now: readonly PortPlan[], before: readonly PortPlan[]): void {
    const kept = new Set(now.map(({ name }) => name));
    const gone = before.filter(({ name }) => !kept.has(name)).map((port) => ({ ...port, endpoints: [] }));
    try {
      forgetStaleConnections(this.#options.netns, [...now, ...gone]);
    } catch (error) {
      // The rules are right; only clients that keep their port notice.
      this.#options.log.warn('stale UDP connections could not be forgotten', { error: messageOf(error) });
    }
  }

  #warnOfContested(rules: RuleSet): void {
    for (const service of rules.contested) {
      this.#options.log.warn('an address and port of this service belongs to another service', { service });
    }
  }
}

function keyOf({ metadata }: V1Service): string {
  return `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
}

function serviceKeyOf({ metadata }: V1EndpointSlice): string {
  return `${metadata?.namespace ?? ''}/${metadata?.labels?.[serviceNameLabel] ?? ''}`;
}
