import { join } from 'node:path';
import { systemRandom } from '@wherry/base';
import { findLink, listRoutes, NetlinkSocket, writeNetworkSysctl } from '@wherry/linux';
import { describe, expect, test } from 'vitest';
import {
  ask,
  create,
  ip,
  joinNetwork,
  machine,
  makeNamespace,
  makeWorld,
  nameOf,
  networks,
  open,
  refused,
  restart,
  run,
  serve,
  tcp,
  withSubnet,
} from '../../test/container-machine.ts';

test('settings for other networks are used, and joined by nobody', async () => {
  const config = await create('config', { configOnly: true, ...withSubnet('10.90.0.0/24') });
  await create('user', { configFrom: 'config' });
  await restart();
  expect((await run('one', 'user')).address).toBe('10.90.0.2');
  await expect(run('two', 'config')).rejects.toThrow('cannot create endpoint on configuration-only network');
  const inUse = 'error while removing network: configuration network "config" is in use';
  await expect(networks.remove('config')).rejects.toMatchObject({ code: 'forbidden', message: inUse });
  await networks.disconnect('user', networks.endpointsOf('user')[0]!.containerId);
  await networks.remove('user');
  await networks.remove(config.id);
});

describe('the default bridge', () => {
  test('connects containers with each other and the machine', async () => {
    const [one, two] = [await run('one'), await run('two')];
    expect([one.address, two.address]).toEqual(['172.17.0.2', '172.17.0.3']);
    expect(networks.endpoints(one.id)[0]).toMatchObject({
      interfaceName: 'eth0',
      mac: '02:42:ac:11:00:02',
      dnsNames: [],
    });
    expect(ip('-n', nameOf(one.netns), '-o', 'addr', 'show', 'eth0')).toMatch(
      /^\S+ eth0 +inet 172.17.0.2\/16 brd 172.17.255.255 scope global eth0[^\n]*\n$/,
    );
    await serve(one.netns, one.address, 80);
    await serve(machine.netns, '172.17.0.1', 81);
    expect(await ask(two.netns, one.address, 80)).toBe(two.address);
    expect(await ask(machine.netns, one.address, 80)).toBe('172.17.0.1');
    expect(await ask(two.netns, '172.17.0.1', 81)).toBe(two.address);
    await networks.disconnect('bridge', one.id, one.netns);
    await networks.disconnect('bridge', one.id, one.netns);
    expect(networks.endpoints(one.id)).toEqual([]);
    await refused(two.netns, one.address, 80);
    expect((await run('three')).address).toBe(one.address);
  });

  test('gives what is asked for, and nothing stays of what fails', async () => {
    const one = await run('one', 'bridge', { mac: '02-42-AC-11-00-99', interfaceName: 'net5' });
    expect(ip('-n', nameOf(one.netns), '-o', 'link', 'show', 'net5')).toContain('02:42:ac:11:00:99');
    await expect(joinNetwork(one, 'bridge')).rejects.toMatchObject({
      code: 'forbidden',
      message: 'endpoint with name one already exists in network bridge',
    });
    await expect(run('two', 'bridge', { ipv4: '172.17.0.9' })).rejects.toMatchObject({
      message: 'user specified IP address is supported on user defined networks only',
    });
    await expect(run('two', 'nosuch')).rejects.toMatchObject({ code: 'notFound', message: 'network nosuch not found' });
    await create('other');
    await expect(joinNetwork(one, 'other', { interfaceName: 'net5' })).rejects.toMatchObject({ code: 'alreadyExists' });
    expect(networks.endpoints(one.id)).toHaveLength(1);
    expect(networks.endpointsOf('other')).toEqual([]);
    expect(ip('-n', nameOf(one.netns), '-o', 'link')).toContain('net5');
    expect(await joinNetwork(one, 'other')).toBe('172.18.0.2');
    await networks.disconnect('other', one.id, one.netns);
    await joinNetwork(one, 'other', { interfaceName: 'net6', linkLocal: ['169.254.7.7', 'fe80::7'] });
    const addresses = ip('-n', nameOf(one.netns), '-o', 'addr', 'show', 'net6');
    expect(addresses).toContain(' 169.254.7.7/16 brd 169.254.255.255 ');
    expect(addresses).toContain(' fe80::7/64 scope link ');
    await expect(run('two', 'bridge', { mac: '00:00:00:00:00:00' })).rejects.toThrow(
      'error setting interface "eth0" MAC to "00:00:00:00:00:00": cannot assign requested address',
    );
  });

  test('tells the neighbours who has an address now', async () => {
    const [one, client] = [await run('one', 'bridge', { mac: '02:42:00:00:00:01' }), await run('client')];
    await serve(one.netns, one.address, 80);
    for (const from of [client.netns, machine.netns]) expect(await ask(from, one.address, 80)).not.toBe('');
    await networks.disconnect('bridge', one.id, one.netns);
    const two = await run('two', 'bridge', { mac: '02:42:00:00:00:02' });
    expect(two.address).toBe(one.address);
    await serve(two.netns, two.address, 80);
    // Without being told they would ask the old one for more than five seconds.
    for (const from of [client.netns, machine.netns]) expect(await ask(from, two.address, 80, 4000)).not.toBe('');
  });

  test('takes another name and range when those are in use', async () => {
    const other = await open({ stateDirectory: join(machine.directory, 'other'), table: 'wherry-other' });
    try {
      await run('one');
      const id = systemRandom.hex(64);
      await other.connect('bridge', { containerId: id, containerName: 'x', netns: makeNamespace() });
      const bridge = other.find('bridge');
      expect(bridge).toMatchObject({ bridge: 'wherry-d0', options: { 'com.docker.network.bridge.name': 'wherry-d0' } });
      expect(bridge?.ipam.pools).toEqual([{ subnet: '172.18.0.0/16', gateway: '172.18.0.1' }]);
      await other.destroy();
    } finally {
      await other[Symbol.asyncDispose]();
    }
    expect(networks.find('bridge')?.bridge).toBe('docker0');
  });

  test('host and none are places without an address', async () => {
    const [host, none] = [await run('one', 'host'), await run('two', 'none')];
    expect(networks.endpoints(host.id)).toMatchObject([{ interfaceName: '', mac: '', ipv4: undefined }]);
    expect(networks.endpointsOf('none').map(({ containerName }) => containerName)).toEqual(['two']);
    await networks.disconnect('none', none.id, none.netns);
    expect(networks.endpoints(none.id)).toEqual([]);
  });
});

describe('user networks', () => {
  test('have bridges, ranges and names of their own, and are walled off', async () => {
    const world = makeWorld();
    const { bridge, id } = await create('n1');
    expect(bridge).toBe(`br-${id.slice(0, 12)}`);
    await create('n2', {
      ...withSubnet('10.77.0.0/24', { ipRange: '10.77.0.128/25', gateway: '10.77.0.1' }),
      labels: { a: 'b' },
    });
    const [one, two, three] = [await run('one', 'n1'), await run('two', 'n2'), await run('three')];
    expect([one.address, two.address]).toEqual(['172.18.0.2', '10.77.0.128']);
    for (const { netns } of [one, two, three]) await serve(netns, '0.0.0.0', 80);
    await serve(world, '192.0.2.2', 80);
    for (const from of [one, two, three]) {
      // Out by the machine's address; the others neither way.
      expect(await ask(from.netns, '192.0.2.2', 80)).toBe('192.0.2.1');
      for (const to of [one, two, three]) if (to !== from) await refused(from.netns, to.address, 80);
      expect(await ask(machine.netns, from.address, 80)).toMatch(/\.1$/);
    }
    // Who knows the way from outside gets no answer either, and a container does not reach the machine's loopback.
    ip('-n', nameOf(world), 'route', 'add', '10.77.0.0/24', 'via', '192.0.2.1');
    await refused(world, two.address, 80);
    await serve(machine.netns, '127.0.0.1', 90);
    ip('-n', nameOf(two.netns), 'addr', 'del', '127.0.0.1/8', 'dev', 'lo');
    ip('-n', nameOf(two.netns), 'route', 'add', '127.0.0.1', 'via', '10.77.0.1', 'dev', 'eth0', 'src', two.address);
    await refused(two.netns, '127.0.0.1', 90);
    // A container in both reaches both.
    expect(await joinNetwork(one, 'n2')).toBe('10.77.0.129');
    expect(await ask(one.netns, two.address, 80)).toBe('10.77.0.129');
  });

  test('pods and containers do not reach each other', async () => {
    await restart({ walls: ['pods0'] });
    const pod = makeNamespace();
    const here = nameOf(machine.netns);
    ip('-n', here, 'link', 'add', 'pods0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', nameOf(pod));
    ip('-n', here, 'addr', 'add', '10.244.0.1/24', 'dev', 'pods0');
    ip('-n', here, 'link', 'set', 'pods0', 'up');
    ip('-n', nameOf(pod), 'addr', 'add', '10.244.0.2/24', 'dev', 'eth0');
    ip('-n', nameOf(pod), 'link', 'set', 'eth0', 'up');
    ip('-n', nameOf(pod), 'route', 'add', 'default', 'via', '10.244.0.1');
    const one = await run('one');
    await serve(pod, '10.244.0.2', 80);
    await serve(one.netns, '0.0.0.0', 80);
    await refused(one.netns, '10.244.0.2', 80);
    await refused(pod, one.address, 80);
    await networks.publish(one.id, [tcp(80, 8080)]);
    expect(await ask(pod, '10.244.0.1', 8080)).toBe('10.244.0.2');
  });

  test('internal ones lead nowhere', async () => {
    const world = makeWorld();
    await create('in', { internal: true });
    const [one, two] = [await run('one', 'in'), await run('two', 'in')];
    expect(ip('-n', nameOf(one.netns), 'route')).not.toContain('default');
    expect(networks.endpoints(one.id)[0]?.ipv4?.gateway).toBeUndefined();
    await serve(two.netns, '0.0.0.0', 80);
    await serve(world, '192.0.2.2', 80);
    expect(await ask(one.netns, two.address, 80)).toBe(one.address);
    await refused(one.netns, '192.0.2.2', 80);
    // Not even for who makes himself a route.
    ip('-n', nameOf(one.netns), 'route', 'add', 'default', 'via', '172.18.0.1');
    await refused(one.netns, '192.0.2.2', 80);
    expect(await networks.publish(two.id, [tcp(80, 8080)])).toEqual([]);
  });

  test.each(['0', '1'])('without icc containers meet only by what is published (br_netfilter %s)', async (filter) => {
    writeNetworkSysctl('net.bridge.bridge-nf-call-iptables', filter, machine.netns);
    await create('apart', { options: { 'com.docker.network.bridge.enable_icc': 'false' } });
    const [one, two] = [await run('one', 'apart'), await run('two', 'apart')];
    await serve(one.netns, '0.0.0.0', 80);
    await refused(two.netns, one.address, 80);
    expect(await ask(machine.netns, one.address, 80)).toBe('172.18.0.1');
    await networks.publish(one.id, [tcp(80, 8080)]);
    expect(await ask(two.netns, '172.18.0.1', 8080)).not.toBe('');
  });

  test('with IPv6, also without IPv4', async () => {
    const world = makeWorld();
    await create('six', { enableIPv6: true, ...withSubnet('fd00:77::/64') });
    await create('only', { enableIPv4: false, enableIPv6: true });
    const [one, two] = [await run('one', 'six'), await run('two', 'only')];
    const ipv6 = networks.endpoints(one.id)[0]?.ipv6;
    expect(ipv6).toEqual({ address: 'fd00:77::2', prefix: 64, gateway: 'fd00:77::1' });
    expect(two.address).toMatch(/^fd[0-9a-f]{2}:.*::2$/);
    expect(networks.find('only')?.ipam.pools).toHaveLength(1);
    await serve(world, '2001:db8::2', 80);
    for (const { netns } of [one, two]) {
      await serve(netns, '::', 80);
      expect(await ask(netns, '2001:db8::2', 80)).toBe('2001:db8::1');
    }
    await refused(one.netns, two.address, 80);
    expect(await ask(machine.netns, two.address, 80)).not.toBe('');
    const [port] = await networks.publish(one.id, [tcp(80, 8080, '::')]);
    expect(port).toEqual({ protocol: 'TCP', containerPort: 80, hostIp: '::', hostPort: 8080 });
    expect(await ask(world, '2001:db8::1', 8080)).toBe('2001:db8::2');
    expect(await ask(machine.netns, '::1', 8080)).not.toBe('');
  });

  test('a macvlan interface is on its parent’s link', async () => {
    const world = makeWorld();
    await create('mac', {
      driver: 'macvlan',
      options: { parent: 'up0' },
      ...withSubnet('192.0.2.0/24', { gateway: '192.0.2.2', ipRange: '192.0.2.128/25' }),
    });
    const one = await run('one', 'mac');
    expect(one.address).toBe('192.0.2.128');
    await serve(world, '192.0.2.2', 80);
    expect(await ask(one.netns, '192.0.2.2', 80)).toBe('192.0.2.128');
    expect(ip('-n', nameOf(one.netns), 'route')).toContain('default via 192.0.2.2');
    await networks.disconnect('mac', one.id, one.netns);
    await networks.remove('mac');
    await create('alone', { driver: 'macvlan' });
    const [two, three] = [await run('two', 'alone'), await run('three', 'alone')];
    await serve(two.netns, '0.0.0.0', 80);
    expect(await ask(three.netns, two.address, 80)).toBe(three.address);
  });

  test('are made, found and removed in docker’s words', async () => {
    const { id } = await create('n1', { options: { 'com.docker.network.bridge.name': 'brn1' } });
    expect(networks.find('brn1')).toBeUndefined();
    for (const reference of [id, id.slice(0, 12), 'n1']) expect(networks.find(reference)?.name).toBe('n1');
    expect(networks.find('')).toBeUndefined();
    using socket = NetlinkSocket.open({ netns: machine.netns });
    expect(findLink(socket, 'brn1')?.kind).toBe('bridge');
    await expect(create('n1')).rejects.toMatchObject({ code: 'alreadyExists' });
    await expect(create('n2', { options: { 'com.docker.network.bridge.name': 'brn1' } })).rejects.toThrow(
      'networks have same bridge name',
    );
    await expect(create('n2', { options: { 'com.docker.network.bridge.name': 'lo' } })).rejects.toThrow('not a bridge');
    expect(networks.list().map(({ name }) => name)).toEqual(expect.not.arrayContaining(['n2']));
    const one = await run('one', 'n1');
    await expect(networks.remove('n1')).rejects.toMatchObject({
      code: 'forbidden',
      message: `error while removing network: network n1 id ${id} has active endpoints`,
    });
    await networks.disconnect('n1', one.id, one.netns);
    await networks.remove('n1');
    expect(findLink(socket, 'brn1')).toBeUndefined();
    expect(listRoutes(socket).map(({ destination }) => destination)).not.toContain('172.18.0.0/16');
    await expect(networks.remove('n1')).rejects.toMatchObject({ code: 'notFound', message: 'network n1 not found' });
    await expect(networks.remove('bridge')).rejects.toMatchObject({
      code: 'forbidden',
      message: 'bridge is a pre-defined network and cannot be removed',
    });
  });

  test('nothing for a subnet leaves by the default route', async () => {
    const world = makeWorld();
    await create('n1');
    ip('-n', nameOf(world), 'addr', 'add', '172.18.0.9/32', 'dev', 'lo');
    ip('-n', nameOf(world), 'addr', 'add', '172.17.0.9/32', 'dev', 'lo');
    await serve(world, '0.0.0.0', 80);
    ip('-n', nameOf(machine.netns), 'link', 'del', networks.find('n1')!.bridge!);
    await refused(machine.netns, '172.18.0.9', 80);
    await refused(machine.netns, '172.17.0.9', 80);
    // Somebody deleted the bridge: it is there again when it is needed.
    expect((await run('one', 'n1')).address).toBe('172.18.0.2');
  });
});
