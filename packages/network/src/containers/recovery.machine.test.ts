import { listenInNetns, writeNetworkSysctl } from '@wherry/linux';
import { describe, expect, test } from 'vitest';
import {
  ask,
  create,
  endNamespace,
  ip,
  machine,
  nameOf,
  networks,
  refused,
  restart,
  run,
  serve,
  tcp,
} from '../../test/container-machine.ts';

describe('a machine that changes', () => {
  test('rules that somebody flushed are put back', async () => {
    await create('n1');
    const [one, two] = [await run('one'), await run('two', 'n1')];
    await serve(one.netns, '0.0.0.0', 80);
    await networks.publish(one.id, [tcp(80, 8080)]);
    const rules = async () =>
      (await machine.run('nft', ['list', 'table', 'inet', 'wherry-test'])).stdout.split('\n').sort();
    const before = await rules();
    await machine.run('nft', ['flush', 'ruleset']);
    // Meanwhile this process carries what comes.
    expect(await ask(machine.netns, '127.0.0.1', 8080)).not.toBe('');
    await expect.poll(rules).toEqual(before);
    await refused(two.netns, one.address, 80);
    expect(await ask(two.netns, '172.17.0.1', 8080)).not.toBe('');
  });

  test('what was there is there after a restart, and what is gone is freed', async () => {
    await create('n1', { enableIPv6: true });
    const [one, two, three] = [await run('one', 'n1'), await run('two'), await run('three')];
    await serve(one.netns, '0.0.0.0', 80);
    await networks.publish(one.id, [tcp(80, 8080)]);
    await networks.publish(two.id, [tcp(80, 8081)]);
    const before = networks.list();
    await restart({}, async () => {
      // While nobody runs the rules go on, and come back when they were lost.
      expect(await ask(machine.netns, '127.0.0.1', 8080)).not.toBe('');
      await machine.run('nft', ['flush', 'ruleset']);
    });
    expect(new Set(networks.list())).toEqual(new Set(before));
    expect(networks.published(one.id)).toHaveLength(2);
    expect(await ask(machine.netns, '127.0.0.1', 8080)).not.toBe('');
    await expect(listenInNetns(machine.netns, '0.0.0.0', 8080, () => undefined)).rejects.toMatchObject({
      code: 'conflict',
    });
    endNamespace(two.netns);
    await networks.reconcile(new Set([one.id, three.id]));
    expect(networks.endpoints(two.id)).toEqual([]);
    expect(networks.published(two.id)).toEqual([]);
    expect(networks.endpoints(one.id)).toHaveLength(1);
    expect((await run('four')).address).toBe(two.address);
    await networks.publish(three.id, [tcp(80, 8081)]);
  });

  test('a connection that a kill cut in half is made whole, and a stray interface goes', async () => {
    const [one, two] = [await run('one'), await run('two')];
    await serve(one.netns, '0.0.0.0', 80);
    // As between the record and the interface.
    ip('-n', nameOf(one.netns), 'link', 'del', 'eth0');
    const stray = ['wc0123456789abc', 'master', 'docker0', 'type', 'veth', 'peer', 'name', 'wcpeer'];
    await restart({}, () => ip('-n', nameOf(machine.netns), 'link', 'add', ...stray));
    await networks.reconcile(new Set([one.id, two.id]));
    expect(await ask(two.netns, one.address, 80)).toBe(two.address);
    expect(ip('-n', nameOf(machine.netns), 'link')).not.toContain('wc0123456789abc');
  });

  test('destroy leaves nothing on the machine, and the records of networks', async () => {
    await create('n1', { enableIPv6: true });
    const facts = () => [
      ip('-n', nameOf(machine.netns), 'route'),
      ip('-n', nameOf(machine.netns), '-6', 'route'),
      ip('-n', nameOf(machine.netns), '-o', 'link').replace(/^\d+: lo.*\n/, ''),
    ];
    // A new namespace has the setting of the host.
    writeNetworkSysctl('net.ipv4.ip_forward', '0', machine.netns);
    const one = await run('one', 'n1');
    await run('two');
    await networks.publish(one.id, [tcp(80, 8080)]);
    await networks.destroy();
    expect(facts()).toEqual(['', '', '']);
    expect((await machine.run('nft', ['list', 'ruleset'])).stdout).toBe('');
    expect((await machine.run('cat', ['/proc/sys/net/ipv4/ip_forward'])).stdout).toBe('0\n');
    await restart();
    expect(networks.find('n1')).toBeDefined();
    expect(networks.endpointsOf('n1')).toEqual([]);
  });
});
