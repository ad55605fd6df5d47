import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTestCluster, dockerBusyboxImage, type Ran, type TestCluster } from '@wherry/testkit';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';

// What docker's users see of networks, ports, names and volumes, by the docker CLI on the built product. What is
// expected was seen of dockerd 26.1.

let engine: TestCluster;
beforeAll(async () => {
  engine = await createTestCluster({ upArgs: ['--engine-only'] });
  await engine.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
});
afterAll(() => engine[Symbol.asyncDispose]());
beforeEach(async () => {
  const ids = (await docker('ps', '-aq')).split('\n').filter(Boolean);
  if (ids.length > 0) await docker('rm', '-fv', ...ids);
  await docker('network', 'prune', '-f');
});

const docker = (...args: string[]): Promise<string> => engine.mustDocker(args);
const refused = (...args: string[]): Promise<Ran> => engine.docker(args);
const sleeper = (name: string, ...args: string[]): Promise<string> =>
  docker('run', '-d', '--name', name, ...args, 'busybox', 'sleep', '600');
const inside = (name: string, command: string): Promise<string> => docker('exec', name, 'sh', '-c', command);
const portsOf = (name: string): Promise<string> => docker('inspect', '-f', '{{json .NetworkSettings.Ports}}', name);

it('numbers interfaces by where they lead, and tells of all in hosts', async () => {
  await docker('network', 'create', '--subnet', '10.60.0.0/24', 'a');
  await docker('network', 'create', '--subnet', '10.61.0.0/24', '--ipv6', '--subnet', 'fd00:61::/64', 'b');
  await docker('network', 'create', '--internal', '--subnet', '10.62.0.0/24', 'aa');
  const joined = ['--network', 'aa', '--network', 'a', '--network', 'name=b,link-local-ip=169.254.7.7'];
  await sleeper('one', ...joined, '-h', 'one.example.test');
  const addresses = 'ip -o -4 addr | awk \'$2 != "lo" {print $2, $4}\' | sort';
  expect(await inside('one', addresses)).toBe(
    'eth0 10.61.0.2/24\neth0 169.254.7.7/16\neth1 10.60.0.2/24\neth2 10.62.0.2/24\n',
  );
  expect(await inside('one', 'ip route | grep default')).toBe('default via 10.61.0.1 dev eth0 \n');
  expect(await inside('one', 'tail -n 4 /etc/hosts')).toBe(
    ['10.61.0.2', 'fd00:61::2', '10.60.0.2', '10.62.0.2'].map((ip) => `${ip}\tone.example.test one\n`).join(''),
  );
});

it('publishes ports through the networks that lead out, whichever they are', async () => {
  await docker('network', 'create', '--internal', 'in');
  await docker('network', 'create', 'out');
  await sleeper('web', '--network', 'in', '-p', '18080:80', '--expose', '81');
  expect(await portsOf('web')).toBe('{}\n');
  await docker('network', 'connect', 'out', 'web');
  const published = '[{"HostIp":"0.0.0.0","HostPort":"18080"},{"HostIp":"::","HostPort":"18080"}]';
  expect(await portsOf('web')).toBe(`{"80/tcp":${published},"81/tcp":null}\n`);
  await inside('web', 'mkdir /w; echo served > /w/index.html; httpd -p 80 -h /w');
  const ask = () => engine.machine.run('curl', ['-s', 'http://127.0.0.1:18080/']);
  expect(await ask()).toMatchObject({ stdout: 'served\n' });
  await docker('network', 'disconnect', 'out', 'web');
  expect(await portsOf('web')).toBe('{}\n');
  // The port is free, and whoever has it keeps it.
  await sleeper('other', '-p', '18080:80');
  expect((await refused('network', 'connect', 'out', 'web')).stderr).toContain('port is already allocated');
  expect(
    await docker('inspect', '-f', '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}', 'web'),
  ).toBe('in \n');
  expect(await inside('web', 'ls /sys/class/net')).toBe('eth0\nlo\n');
  await docker('rm', '-f', 'other');
  await docker('network', 'connect', 'out', 'web');
  expect(await ask()).toMatchObject({ stdout: 'served\n' });
});

it('keeps to none, and leaves it', async () => {
  await sleeper('lone', '--network', 'none');
  const why = 'container cannot be connected to multiple networks with one of the networks in private (none) mode';
  expect((await refused('network', 'connect', 'bridge', 'lone')).stderr).toContain(why);
  await docker('network', 'disconnect', 'none', 'lone');
  await docker('network', 'connect', 'bridge', 'lone');
  expect(await inside('lone', 'ls /sys/class/net')).toBe('eth0\nlo\n');
  await sleeper('host', '--network', 'host');
  expect((await refused('network', 'connect', 'bridge', 'host')).stderr).toContain(
    'container sharing network namespace with another container or host cannot be connected to any other network',
  );
});

it('gives names of their own to containers that share a network, and follows a change of name', async () => {
  await docker('network', 'create', 'n');
  await sleeper('one', '--network', 'n', '-h', 'first', '--sysctl', 'net.ipv4.conf.eth0.arp_filter=1');
  expect(await inside('one', 'cat /proc/sys/net/ipv4/conf/eth0/arp_filter')).toBe('1\n');
  const names = 'hostname; echo $HOSTNAME';
  expect(await docker('run', '--rm', '--network', 'host', '-h', 'apart', 'busybox', 'sh', '-c', names)).toBe(
    'apart\napart\n',
  );
  await docker('create', '--name', 'joined', '--network', 'container:one', 'busybox', 'sh', '-c', names);
  await docker('rename', 'one', 'two');
  expect(await docker('start', '-a', 'joined')).toBe('first\nfirst\n');
  const ask = (name: string) => refused('run', '--rm', '--network', 'n', 'busybox', 'ping', '-c1', '-W10', name);
  expect(await ask('two')).toMatchObject({ code: 0 });
  expect((await ask('one')).stderr).toContain("bad address 'one'");
  expect(await docker('network', 'inspect', '-f', '{{range .Containers}}{{.Name}}{{end}}', 'n')).toBe('two\n');
});

it('tells linked containers of ports in a row', async () => {
  await sleeper('db', '--expose', '80-82', '--expose', '90-91', '--expose', '83/udp');
  const link = ['--name', 'user', '--link', 'db:x', 'busybox', 'sh', '-c', 'env | grep -E "^X_.*(START|END)=" | sort'];
  const address = (await docker('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'db')).trim();
  expect(await docker('run', '--rm', ...link)).toBe(
    [
      `X_PORT_80_TCP_END=tcp://${address}:82`,
      'X_PORT_80_TCP_PORT_END=82',
      'X_PORT_80_TCP_PORT_START=80',
      `X_PORT_80_TCP_START=tcp://${address}:80`,
      '',
    ].join('\n'),
  );
});

it('makes networks with the settings of others', async () => {
  const mtu = 'com.docker.network.driver.mtu=1400';
  await docker('network', 'create', '--config-only', '--subnet', '10.90.0.0/24', '-o', mtu, '--label', 'a=b', 'config');
  await docker('network', 'create', '--config-from', 'config', 'user');
  const shown = '{{.Driver}} {{.ConfigOnly}} {{.ConfigFrom.Network}} {{.Labels}} {{(index .IPAM.Config 0).Subnet}}';
  expect(await docker('network', 'inspect', '-f', shown, 'config', 'user')).toBe(
    'null true  map[a:b] 10.90.0.0/24\nbridge false config map[a:b] 10.90.0.0/24\n',
  );
  expect(await docker('run', '--rm', '--network', 'user', 'busybox', 'cat', '/sys/class/net/eth0/mtu')).toBe('1400\n');
  expect((await refused('run', '--rm', '--network', 'config', 'busybox', 'true')).stderr).toContain(
    'cannot create endpoint on configuration-only network',
  );
  expect((await refused('network', 'rm', 'config')).stderr).toContain('configuration network "config" is in use');
  await docker('network', 'rm', 'user', 'config');
});

it('mounts volumes as they were made, and shares them as asked', async () => {
  const source = join(engine.machine.directory, 'source');
  await mkdir(source);
  await writeFile(join(source, 'f'), 'there\n');
  const mountOptions = ['type=none', `device=${source}`, 'o=bind,ro'].flatMap((option) => ['-o', option]);
  await docker('volume', 'create', ...mountOptions, 'closed');
  const written = await refused('run', '--rm', '-v', 'closed:/v', 'busybox', 'sh', '-c', 'cat /v/f; echo x > /v/g');
  expect(written.stdout).toBe('there\n');
  expect(written.stderr).toContain('Read-only file system');
  await sleeper('has', '-v', 'open:/open', '-v', '/anonymous');
  const from = ['--volumes-from', 'has:ro', 'busybox', 'sh', '-c', 'echo x > /open/x'];
  expect((await refused('run', '--rm', ...from)).stderr).toContain('Read-only file system');
  await docker('create', '--name', 'reads', '--volumes-from', 'has:ro', 'busybox');
  const shown = '{{range .Mounts}}{{.Destination}}={{.Mode}},{{.RW}} {{end}}';
  const mounts = (await docker('inspect', '-f', shown, 'reads')).trim().split(' ').sort();
  expect(mounts).toEqual(['/anonymous=,false', '/open=,false']);
  // What is mounted from elsewhere takes no space here.
  expect(await docker('system', 'df', '--format', '{{.Type}} {{.TotalCount}}')).toContain('Local Volumes 2\n');
});
