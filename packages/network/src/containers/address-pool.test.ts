import { cidrContains, parseCidr, parseIp } from '@wherry/base';
import { expect, test } from 'vitest';
import { AddressPool, addressOf, boundsOf, numberOf } from './address-pool.ts';
import { chooseSubnet, dockerPools } from './default-pools.ts';

/** Numbers that repeat with a seed (Lehmer). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

test.each(['10.1.0.0/24', '10.1.2.0/28', '10.0.0.0/30', 'fd00:1::/64', 'fd00:2::/126'])(
  'a pool of %s never gives an address twice, nor one outside, and gives the lowest that is free',
  (subnet) => {
    const next = numbers(subnet.length * 7 + 1);
    const pool = new AddressPool({ subnet });
    const range = parseCidr(subnet);
    const { first, last } = boundsOf(range);
    const room = range.address.length === 4 ? last - first - 1n : last - first;
    const held = new Set<string>();
    for (let step = 0; step < 3000; step++) {
      if (next() < 0.55) {
        if (BigInt(held.size) + 1n >= room) {
          expect(() => pool.take()).toThrow('in use');
          continue;
        }
        const address = pool.take();
        expect(held.has(address) || address === pool.gateway).toBe(false);
        expect(cidrContains(range, parseIp(address)!)).toBe(true);
        const number = numberOf(parseIp(address)!);
        for (let lower = first + 1n; lower < number && number - lower < 40n; lower++) {
          const below = addressOf(lower, range.address.length);
          expect(held.has(below) || below === pool.gateway).toBe(true);
        }
        expect(number === first || (range.address.length === 4 && number === last)).toBe(false);
        held.add(address);
      } else if (held.size > 0) {
        const gone = [...held][Math.floor(next() * held.size)]!;
        held.delete(gone);
        pool.release(gone);
      }
      expect(pool.size).toBe(held.size + 1);
    }
  },
);

test('gateway, range and auxiliary addresses', () => {
  const pool = new AddressPool({
    subnet: '10.77.0.0/24',
    ipRange: '10.77.0.128/30',
    auxiliaryAddresses: { router: '10.77.0.129' },
  });
  expect(pool.gateway).toBe('10.77.0.128');
  expect([pool.take(), pool.take()]).toEqual(['10.77.0.130', '10.77.0.131']);
  expect(() => pool.take()).toThrow(expect.objectContaining({ code: 'exhausted' }));
  // Outside of the range an address can be asked for.
  expect(pool.take('10.77.0.9')).toBe('10.77.0.9');
  for (const used of ['10.77.0.9', '10.77.0.128', '10.77.0.129']) {
    expect(() => pool.take(used)).toThrow(
      expect.objectContaining({ code: 'forbidden', message: 'Address already in use' }),
    );
  }
  for (const spare of ['10.77.0.0', '10.77.0.255']) {
    expect(() => pool.take(spare)).toThrow(expect.objectContaining({ code: 'forbidden' }));
  }
  for (const wrong of ['10.78.0.1', 'fd00::1']) {
    expect(() => pool.take(wrong)).toThrow(expect.objectContaining({ code: 'invalid' }));
  }
  pool.release('10.77.0.128');
  expect(() => pool.take('10.77.0.128')).toThrow('in use');
});

test('default pools in docker’s order, without what is in use', () => {
  const used = (...ranges: string[]) => ranges.map(parseCidr);
  expect(chooseSubnet(dockerPools, [], 4)).toBe('172.17.0.0/16');
  expect(chooseSubnet(dockerPools, used('172.17.3.0/24', '172.18.0.0/15'), 4)).toBe('172.20.0.0/16');
  expect(chooseSubnet(dockerPools, used('172.16.0.0/12', '192.168.1.1/32'), 4)).toBe('192.168.16.0/20');
  expect(() => chooseSubnet(dockerPools, used('0.0.0.0/0'), 4)).toThrow(
    'could not find an available, non-overlapping IPv4 address pool',
  );
  expect(chooseSubnet([{ base: 'fd00:1::/48', size: 64 }], used('fd00:1::/64'), 6)).toBe('fd00:1:0:1::/64');
});
