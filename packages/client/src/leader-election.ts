import { setMaxListeners } from 'node:events';
import { microTimeText, type V1Lease } from '@wherry/api';
import { type Clock, codeOf, type Logger, messageOf, sleep } from '@wherry/base';
import { backoffDelay } from './backoff.ts';
import type { ApiClient } from './client.ts';
import { millisOf } from './objects.ts';
import { resources } from './resources.ts';

/** Settings of a Lease-based election; times in seconds. */
export interface LeaderElectionOptions {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespace: string;
  readonly name: string;
  /** Unique per candidate, and the same after a restart, so that a process that was killed need not wait for its own lease. */
  readonly identity: string;
  /** How long others wait after the last renewal. Default 60: rarely renewed, since idle must cost nothing. */
  readonly leaseSeconds?: number;
  /** How often the holder renews. Default a third of the lease. */
  readonly renewSeconds?: number;
  /** How often candidates look. Default 2. */
  readonly retrySeconds?: number;
  readonly signal: AbortSignal;
  /** The work of the leader; its signal fires when the lease was lost or `signal` fired. */
  readonly lead: (signal: AbortSignal) => Promise<void>;
}

/**
 * Waits for the lease, then leads until the signal fires (the lease is released then) or it is lost
 * (then it is a candidate again). The holder's clock is not trusted: a lease is old when it was not
 * seen to change for its whole duration (client-go's rule).
 */
export async function runLeaderElection(options: LeaderElectionOptions): Promise<void> {
  const { clock, log, signal, retrySeconds = 2, leaseSeconds = 60 } = options;
  const renewSeconds = options.renewSeconds ?? leaseSeconds / 3;
  const election = new Election(options, leaseSeconds);
  let failures = 0;
  while (!signal.aborted) {
    const won = await election.tryToTake().catch((error: unknown) => {
      log.debug('the lease could not be taken', { lease: options.name, error: messageOf(error) });
      return undefined;
    });
    if (!won) {
      // A server or namespace that is still coming up is asked again soon; another holder is not.
      failures = won === undefined ? failures + 1 : 0;
      const pause = won === undefined ? backoffDelay(failures, 50, retrySeconds * 1000) : retrySeconds * 1000;
      await sleep(clock, pause, { signal }).catch(() => undefined);
      continue;
    }
    failures = 0;
    log.info('leading', { lease: options.name });
    const term = new AbortController();
    setMaxListeners(0, term.signal); // each controller listens
    const end = (): void => term.abort(signal.reason);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    const work = options.lead(term.signal);
    const lost = keepLease(election, { clock, term: term.signal, renewSeconds, retrySeconds, leaseSeconds });
    try {
      await Promise.race([work, lost]);
    } finally {
      term.abort();
      signal.removeEventListener('abort', end);
      await Promise.all([work, lost]);
      if (signal.aborted) await election.release().catch(() => undefined);
    }
  }
}

/** Renews until the term ends; resolves when the lease was lost or could not be renewed in time. */
async function keepLease(
  election: Election,
  of: { clock: Clock; term: AbortSignal; renewSeconds: number; retrySeconds: number; leaseSeconds: number },
): Promise<void> {
  let renewed = of.clock.now();
  let pause = of.renewSeconds;
  for (;;) {
    await sleep(of.clock, pause * 1000, { signal: of.term }).catch(() => undefined);
    if (of.term.aborted) return;
    try {
      if (!(await election.tryToTake())) return;
      renewed = of.clock.now();
      pause = of.renewSeconds;
    } catch {
      if (of.clock.now() - renewed > of.leaseSeconds * 1000 * (2 / 3)) return;
      pause = of.retrySeconds;
    }
  }
}

class Election {
  readonly #options: LeaderElectionOptions;
  readonly #leaseSeconds: number;
  #seen: { readonly text: string; readonly at: number } | undefined;

  constructor(options: LeaderElectionOptions, leaseSeconds: number) {
    this.#options = options;
    this.#leaseSeconds = leaseSeconds;
  }

  /** Takes or renews the lease; `false` when somebody else holds it. */
  async tryToTake(): Promise<boolean> {
    const { client, clock, namespace, name, identity } = this.#options;
    const now = clock.now();
    let lease: V1Lease;
    try {
      lease = await client.get<V1Lease>(resources.leases, { namespace, name });
    } catch (error) {
      if (codeOf(error) !== 'notFound') throw error;
      await client.create<V1Lease>(resources.leases, {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name, namespace },
        spec: { ...this.#held(now), acquireTime: microTimeText(now), leaseTransitions: 0 },
      });
      return true;
    }
    const { holderIdentity: holder, renewTime, leaseDurationSeconds, leaseTransitions = 0 } = lease.spec ?? {};
    const text = `${holder} ${renewTime}`;
    if (this.#seen?.text !== text) {
      // Our own start is the earliest that we can vouch for, unless the lease is plainly older by its own time.
      const stale = (millisOf(renewTime) ?? 0) + (leaseDurationSeconds ?? 0) * 1000 < now;
      this.#seen = { text, at: stale ? 0 : now };
    }
    const mine = holder === identity;
    const free = !holder || this.#seen.at + (leaseDurationSeconds ?? this.#leaseSeconds) * 1000 < now;
    if (!mine && !free) return false;
    try {
      await client.update<V1Lease>(resources.leases, {
        ...lease,
        spec: {
          ...lease.spec,
          ...this.#held(now),
          ...(mine ? {} : { acquireTime: microTimeText(now), leaseTransitions: leaseTransitions + 1 }),
        },
      });
      return true;
    } catch (error) {
      if (codeOf(error) === 'conflict') return false;
      throw error;
    }
  }

  /** Lets others take it at once. */
  async release(): Promise<void> {
    const { client, clock, namespace, name, identity } = this.#options;
    const lease = await client.get<V1Lease>(resources.leases, { namespace, name });
    if (lease.spec?.holderIdentity !== identity) return;
    const renewTime = microTimeText(clock.now());
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime };
    await client.update<V1Lease>(resources.leases, { ...lease, spec });
  }

  #held(now: number): { holderIdentity: string; leaseDurationSeconds: number; renewTime: string } {
    const { identity } = this.#options;
    return { holderIdentity: identity, leaseDurationSeconds: this.#leaseSeconds, renewTime: microTimeText(now) };
  }
}
