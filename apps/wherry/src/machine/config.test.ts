import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '@wherry/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkClusterName, ensureCluster, findCluster, forgetCluster, type Home, listClusters } from './config.ts';
import type { Slots } from './slots.ts';

let home: Home;
beforeEach(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'home-'));
  home = { directory, runDirectory: join(directory, 'run') };
});
afterEach(() => rm(home.directory, { recursive: true }));

const failure = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

it('gives clusters on one machine their own bridge, port, ranges and folders, and fills gaps', async () => {
  const [a, b] = [await ensureCluster(home, { name: 'a' }), await ensureCluster(home, { name: 'b' })];
  expect(a).toMatchObject({
    bridge: 'wherry0',
    apiPort: 6443,
    clusterCidr: '10.244.0.0/16',
    serviceCidr: '10.96.0.0/12',
    cgroupParent: 'wherry-a',
  });
  expect(b).toMatchObject({
    bridge: 'wherry1',
    apiPort: 6444,
    clusterCidr: '10.243.0.0/16',
    serviceCidr: '10.112.0.0/16',
  });
  expect(b.rootDirectory).not.toBe(a.rootDirectory);
  await forgetCluster(home, 'a');
  expect((await ensureCluster(home, { name: 'c' })).bridge).toBe('wherry0');
  const claimed: number[] = [];
  const slots: Slots = {
    used: () => new Set([2, 3]),
    // Somebody else takes 4 between the look at the used ones and the claim.
    claim: (slot) => slot !== 4 && claimed.push(slot) > 0,
    release: (slot) => void claimed.splice(claimed.indexOf(slot), 1),
  };
  expect((await ensureCluster(home, { name: 'd' }, undefined, slots)).bridge).toBe('wherry5');
  expect(claimed).toEqual([5]);
  await failure(ensureCluster(home, { name: 'e', apiPort: 70_000 }, undefined, slots));
  expect(claimed).toEqual([5]);
  expect((await listClusters(home)).map(({ name }) => name)).toEqual(['b', 'c', 'd']);
});

it('remembers a cluster as it was made, and says what cannot change', async () => {
  const made = await ensureCluster(home, { name: 'x', apiPort: 7000, rootDirectory: '/somewhere' });
  expect(await ensureCluster(home, { name: 'x' })).toEqual(made);
  const error = await failure(ensureCluster(home, { name: 'x', apiPort: 7001 }));
  expect(codeOf(error)).toBe('conflict');
  expect((error as Error).message).toContain('exists with apiPort 7000');
  expect(codeOf(await failure(ensureCluster(home, { name: 'y', rootDirectory: '/somewhere' })))).toBe('conflict');
});

it('takes other settings of registries at each start, but not beside a daemon that runs with others', async () => {
  const made = await ensureCluster(home, { name: 'x', registryMirrors: ['https://mirror.example'] });
  expect(made.registryMirrors).toEqual(['https://mirror.example/']);
  const insecureRegistries = ['http://registry.lan:5000', '10.0.0.0/8'];
  const changed = await ensureCluster(home, { name: 'x', insecureRegistries });
  expect(changed).toEqual({ ...made, insecureRegistries: ['registry.lan:5000', '10.0.0.0/8'] });
  expect(await findCluster(home, 'x')).toEqual(changed);
  const running = async () => true;
  const wishes = { name: 'x', registryMirrors: ['https://mirror.example/'] };
  expect(await ensureCluster(home, wishes, running)).toEqual(changed);
  const error = await failure(ensureCluster(home, { name: 'x', registryMirrors: [] }, running));
  expect(codeOf(error)).toBe('conflict');
  expect((error as Error).message).toContain('stop it first with "wherry down --name x"');
  expect((await ensureCluster(home, { name: 'x', registryMirrors: [] })).registryMirrors).toEqual([]);
});

it('takes other runtimes at each start', async () => {
  const runtimes = [`mine=${process.execPath} --x`];
  const made = await ensureCluster(home, { name: 'x', runtimes });
  expect(made.runtimes).toEqual([{ name: 'mine', path: process.execPath, args: ['--x'] }]);
  expect((await ensureCluster(home, { name: 'x' })).runtimes).toEqual(made.runtimes);
  expect(codeOf(await failure(ensureCluster(home, { name: 'x', runtimes: [] }, async () => true)))).toBe('conflict');
  expect((await ensureCluster(home, { name: 'x', runtimes: [] })).runtimes).toEqual([]);
  const wrong = await failure(ensureCluster(home, { name: 'x', runtimes: ['mine'] }));
  expect((wrong as Error).message).toBe('invalid argument "mine" for "--add-runtime" flag: it has to be NAME=PATH');
});

it('takes users of containers that the machine knows', async () => {
  const wrong = await failure(ensureCluster(home, { name: 'x', usersRemap: 'a:b:c' }));
  const reason = 'invalid userns remapping specification in "a:b:c"';
  expect((wrong as Error).message).toBe(`invalid argument "a:b:c" for "--userns-remap" flag: ${reason}`);
  expect((await ensureCluster(home, { name: 'x', usersRemap: '' })).usersRemap).toBeUndefined();
});

it.each([
  ['127.0.0.1:5000', { address: '127.0.0.1', port: 5000 }],
  ['[::1]:5001', { address: '::1', port: 5001 }],
  ['0.0.0.0', { address: '0.0.0.0', port: 5000 }],
  ['5002', { address: '127.0.0.1', port: 5002 }],
])('serves a registry at %s, until it is off', async (registry, address) => {
  expect((await ensureCluster(home, { name: 'x', registry })).registry).toEqual(address);
  expect((await ensureCluster(home, { name: 'x' })).registry).toEqual(address);
  expect((await ensureCluster(home, { name: 'x', registry: 'off' })).registry).toBeUndefined();
  expect((await findCluster(home, 'x'))?.registry).toBeUndefined();
});

it.each([':5000', 'host:5000', '127.0.0.1:99999', '127.0.0.1:0', '::1', ''])(
  'serves no registry at %j',
  async (registry) => {
    const error = await failure(ensureCluster(home, { name: 'x', registry }));
    expect((error as Error).message).toContain(
      `invalid argument ${JSON.stringify(registry)} for "--registry" flag: it must be`,
    );
  },
);

it('refuses settings of registries as dockerd does', async () => {
  const error = await failure(ensureCluster(home, { name: 'x', registryMirrors: ['mirror.example'] }));
  expect((error as Error).message).toBe(
    'invalid argument "mirror.example" for "--registry-mirror" flag: invalid mirror: unsupported scheme "" in "mirror.example"',
  );
  expect(codeOf(await failure(ensureCluster(home, { name: 'x', insecureRegistries: ['-x'] })))).toBe('invalid');
  expect(await findCluster(home, 'x')).toBeUndefined();
});

it('refuses a range in which this machine has an address', async () => {
  const error = await failure(ensureCluster(home, { name: 'x', clusterCidr: '127.0.0.0/8' }));
  expect(codeOf(error)).toBe('conflict');
  expect((error as Error).message).toContain('--cluster-cidr');
});

it.each([
  [{ clusterCidr: '300.1.1.1/99' }, '--cluster-cidr'],
  [{ clusterCidr: '10.0.0.0/25' }, '--cluster-cidr'],
  [{ serviceCidr: 'fd00::/64' }, '--service-cidr'],
  [{ clusterCidr: '10.96.0.0/16' }, 'overlap'],
  [{ apiPort: 70_000 }, '--api-port'],
  [{ nodeIp: 'x' }, '--node-ip'],
  [{ listenAddress: 'localhost' }, '--listen-address'],
])('refuses %j and remembers nothing', async (wish, flag) => {
  const error = await failure(ensureCluster(home, { name: 'x', ...wish }));
  expect(codeOf(error)).toBe('invalid');
  expect((error as Error).message).toContain(flag);
  expect(await listClusters(home)).toEqual([]);
});

it('names a damaged record', async () => {
  await mkdir(join(home.directory, 'clusters'));
  const path = join(home.directory, 'clusters', 'x.json');
  for (const text of ['{', '{"formatVersion": 9}']) {
    await writeFile(path, text);
    const error = await failure(findCluster(home, 'x'));
    expect(codeOf(error)).toBe('corrupt');
    expect((error as Error).message).toContain(path);
  }
});

describe('names', () => {
  it.each(['a', 'wherry', 'a-1', 'x'.repeat(32)])('takes %s', (name) =>
    expect(() => checkClusterName(name)).not.toThrow(),
  );
  it.each(['', 'A', '-a', 'a-', '../x', 'a/b', 'a.b', 'x'.repeat(33)])('refuses %j', (name) =>
    expect(() => checkClusterName(name)).toThrow(/invalid cluster name/),
  );
});
