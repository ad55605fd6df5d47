import type { V1Lease } from '@wherry/api';
import { silentLogger, VirtualClock } from '@wherry/base';
import { createMemoryApi } from '@wherry/testkit';
import { expect, test } from 'vitest';
import { runLeaderElection } from './leader-election.ts';
import { resources } from './resources.ts';

function setUp() {
  const clock = new VirtualClock();
  const api = createMemoryApi({ clock });
  const leaders: string[] = [];
  const candidate = (identity: string) => {
    const end = new AbortController();
    const done = runLeaderElection({
      client: api,
      clock,
      log: silentLogger,
      namespace: 'kube-system',
      name: 'l',
      identity,
      leaseSeconds: 15,
      signal: end.signal,
      lead: async (signal) => {
        leaders.push(`+${identity}`);
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        leaders.push(`-${identity}`);
      },
    });
    return { stop: () => end.abort(), done };
  };
  const lease = () => api.peek<V1Lease>(resources.leases, 'kube-system/l')?.spec;
  return { clock, api, leaders, candidate, lease };
}

test('one leads, renews, and hands over at once when it ends', async () => {
  const { clock, leaders, candidate, lease } = setUp();
  const one = candidate('one');
  await clock.advance(0);
  const two = candidate('two');
  await clock.advance(60_000);
  expect(leaders).toEqual(['+one']);
  expect(lease()).toMatchObject({ holderIdentity: 'one', leaseDurationSeconds: 15, leaseTransitions: 0 });
  expect(Date.parse(lease()!.renewTime!)).toBeGreaterThan(clock.now() - 6000);
  one.stop();
  await one.done;
  await clock.advance(4000);
  expect(leaders).toEqual(['+one', '-one', '+two']);
  expect(lease()).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1 });
  two.stop();
  await two.done;
});

test('a holder that cannot renew stops, and another follows after the lease ran out', async () => {
  const { clock, api, leaders, candidate } = setUp();
  const one = candidate('one');
  await clock.advance(0);
  let broken = true;
  api.failWith((verb) => (broken && verb !== 'list' ? new Error('down') : undefined));
  await clock.advance(20_000);
  expect(leaders).toEqual(['+one', '-one']);
  one.stop();
  await one.done;
  broken = false;
  const two = candidate('two');
  await clock.advance(20_000);
  expect(leaders).toEqual(['+one', '-one', '+two']);
  two.stop();
  await two.done;
});
