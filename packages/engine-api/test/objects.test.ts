import { WherryError } from '@wherry/base';
import type { CreateNetwork, NetworkRecord } from '@wherry/network';
import type { CreateVolume, VolumeRecord } from '@wherry/volumes';
import { describe, expect, it } from 'vitest';
import type { EngineApiOptions } from '../src/index.ts';
import {
  fakeContainers,
  fakeEvents,
  fakeId,
  fakeImage,
  fakeImages,
  fakeNetwork,
  fakeOptions,
  fakeVolume,
  unexpected,
} from './fake-parts.ts';
import { serve } from './serving.ts';

const json = { 'Content-Type': 'application/json' };

function filters(value: object): string {
  return `filters=${encodeURIComponent(JSON.stringify(value))}`;
}

describe('networks', () => {
  const bridge = fakeNetwork('bridge', { predefined: true });
  const used = fakeNetwork('used', { labels: { a: 'b' }, internal: true });
  const free = fakeNetwork('free', { ipam: { driver: 'default', pools: [] } });
  const endpoint = {
    id: 'e'.repeat(64),
    networkId: used.id,
    containerId: fakeId,
    containerName: 'web',
    interfaceName: 'eth0',
    ipv4: { address: '172.18.0.2', prefix: 16, gateway: '172.18.0.1' },
    ipv6: undefined,
    mac: '02:42:ac:12:00:02',
    aliases: [],
    dnsNames: [],
    gatewayPriority: 0,
    driverOptions: {},
  };

  function networksOf(given: Partial<EngineApiOptions['networks']> = {}): EngineApiOptions['networks'] {
    const all = [bridge, used, free];
    return unexpected<EngineApiOptions['networks']>(
      {
        list: () => all,
        find: (name) => all.find((network) => network.name === name || network.id === name),
        endpointsOf: (id) => (id === used.id ? [endpoint] : []),
        ...given,
      },
      'networks',
    );
  }

  it.each([
    [{}, ['bridge', 'used', 'free']],
    [{ type: ['custom'] }, ['used', 'free']],
    [{ dangling: ['true'] }, ['free']],
    [{ dangling: ['false'] }, ['bridge', 'used']],
    [{ label: ['a=b'] }, ['used']],
    [{ name: ['ee'] }, ['free']],
    [{ name: ['^us'] }, ['used']],
    [{ driver: ['host'] }, []],
  ])('lists by %j', async (given, names) => {
    await using api = await serve(fakeOptions({ networks: networksOf() }));
    const { text } = await api.call('GET', `/v1.45/networks?${filters(given)}`);
    expect((JSON.parse(text) as { Name: string }[]).map(({ Name }) => Name)).toEqual(names);
  });

  it('shows one with its containers', async () => {
    await using api = await serve(fakeOptions({ networks: networksOf() }));
    const { text } = await api.call('GET', '/v1.45/networks/used');
    expect(text).toBe(
      `{"Name":"used","Id":"${used.id}","Created":"2026-01-01T00:00:00Z","Scope":"local","Driver":"bridge","EnableIPv6":false,"IPAM":{"Driver":"default","Options":{},"Config":[{"Subnet":"172.18.0.0/16","Gateway":"172.18.0.1"}]},"Internal":true,"Attachable":false,"Ingress":false,"ConfigFrom":{"Network":""},"ConfigOnly":false,"Containers":{"${fakeId}":{"Name":"web","EndpointID":"${endpoint.id}","MacAddress":"02:42:ac:12:00:02","IPv4Address":"172.18.0.2/16","IPv6Address":""}},"Options":{},"Labels":{"a":"b"}}\n`,
    );
    expect(await api.docker.getNetwork('used').inspect()).toMatchObject({ EnableIPv4: true });
    for (const path of ['/networks/none', '/networks/used?scope=swarm']) {
      expect((await api.call('GET', path)).status).toBe(404);
    }
  });

  it('creates, announces and removes', async () => {
    const events = fakeEvents();
    const asked: CreateNetwork[] = [];
    const removed: string[] = [];
    const networks = networksOf({
      create: async (request): Promise<NetworkRecord> => {
        asked.push(request);
        return fakeNetwork(request.name);
      },
      remove: async (id) => {
        if (id === used.id) throw new WherryError('forbidden', 'network used has active endpoints');
        removed.push(id);
      },
    });
    await using api = await serve(fakeOptions({ networks, events }));
    const body = '{"name":"n","Driver":"bridge","IPAM":{"Config":[{"Subnet":"10.0.0.0/24"}]},"Labels":{"x":"y"}}';
    const created = await api.call('POST', '/networks/create', { body, headers: json });
    expect([created.status, JSON.parse(created.text)]).toEqual([201, { Id: fakeNetwork('n').id, Warning: '' }]);
    expect(asked).toMatchObject([
      { name: 'n', driver: 'bridge', ipam: { pools: [{ subnet: '10.0.0.0/24' }] }, labels: { x: 'y' } },
    ]);
    expect((await api.call('DELETE', '/networks/used')).status).toBe(403);
    expect((await api.call('DELETE', '/networks/free')).status).toBe(204);
    expect(removed).toEqual([free.id]);
    expect(JSON.parse((await api.call('POST', '/networks/prune')).text)).toEqual({ NetworksDeleted: ['free'] });
    expect(events.seen.map(({ Action, Actor }) => [Action, Actor.Attributes])).toEqual([
      ['create', { name: 'n', type: 'bridge' }],
      ['destroy', { name: 'free', type: 'bridge' }],
      ['destroy', { name: 'free', type: 'bridge' }],
      ['prune', { reclaimed: '0' }],
    ]);
  });

  it.each([
    [
      '{"Name":5}',
      400,
      'invalid JSON: json: cannot unmarshal number into Go struct field NetworkCreateRequest.Name of type string',
    ],
    [
      '{"Name":"o","Driver":"overlay"}',
      403,
      'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
    ],
  ])('refuses to create %s', async (body, status, message) => {
    await using api = await serve(fakeOptions({ networks: networksOf() }));
    const answer = await api.call('POST', '/networks/create', { body, headers: json });
    expect([answer.status, JSON.parse(answer.text)]).toEqual([status, { message }]);
  });

  it('connects containers', async () => {
    const seen: unknown[] = [];
    const containers = fakeContainers({
      connectNetwork: async (...given) => void seen.push(given),
      disconnectNetwork: async (...given) => void seen.push(given),
    });
    await using api = await serve(fakeOptions({ containers }));
    await api.docker.getNetwork('n').connect({ Container: 'c', EndpointConfig: { Aliases: ['x'] } });
    await api.docker.getNetwork('n').disconnect({ Container: 'c', Force: true });
    expect(seen).toEqual([
      ['n', 'c', { Aliases: ['x'] }],
      ['n', 'c', { force: true }],
    ]);
  });
});

describe('volumes', () => {
  it('creates, lists, shows, removes and prunes', async () => {
    const events = fakeEvents();
    const kept = new Map<string, VolumeRecord>();
    const volumes = unexpected<EngineApiOptions['volumes']>(
      {
        list: () => [...kept.values()],
        find: (name) => kept.get(name),
        users: (name) => (name === 'used' ? [fakeId] : []),
        size: async () => 7,
        create: async ({ name = 'f'.repeat(64), labels = {}, anonymous = false }: CreateVolume) => {
          const volume = kept.get(name) ?? fakeVolume(name, { labels, anonymous });
          kept.set(name, volume);
          return volume;
        },
        remove: async (name) => {
          if (name === 'used') throw new WherryError('conflict', `remove used: volume is in use - [${fakeId}]`);
          kept.delete(name);
        },
      },
      'volumes',
    );
    await using api = await serve(fakeOptions({ volumes, events }));
    const create = async (body: object): Promise<string> =>
      (await api.call('POST', '/volumes/create', { body: JSON.stringify(body), headers: json })).text;
    expect(await create({ Name: 'used', Labels: { a: 'b' } })).toBe(
      '{"CreatedAt":"2026-01-01T00:00:00Z","Driver":"local","Labels":{"a":"b"},"Mountpoint":"/volumes/used/_data","Name":"used","Options":null,"Scope":"local"}\n',
    );
    await create({ Name: 'used' });
    await create({ Name: 'named' });
    await create({});
    const list = async (query: string): Promise<string[]> =>
      (JSON.parse((await api.call('GET', `/volumes?${query}`)).text) as { Volumes: VolumeName[] }).Volumes.map(
        ({ Name }) => Name,
      );
    expect(await list(filters({ dangling: ['false'] }))).toEqual(['used']);
    expect(await list(filters({ label: ['com.docker.volume.anonymous'] }))).toEqual(['f'.repeat(64)]);
    const refused = await api.call('DELETE', '/volumes/used');
    expect(refused.status).toBe(409);
    const missing = await api.call('DELETE', '/volumes/none');
    expect([missing.status, missing.text]).toEqual([404, '{"message":"get none: no such volume"}\n']);
    expect((await api.call('DELETE', '/volumes/none?force=1')).status).toBe(204);
    const pruned = await api.call('POST', '/volumes/prune');
    expect(JSON.parse(pruned.text)).toEqual({ VolumesDeleted: ['f'.repeat(64)], SpaceReclaimed: 7 });
    const all = await api.call('POST', `/volumes/prune?${filters({ all: { true: true } })}`);
    expect(JSON.parse(all.text)).toEqual({ VolumesDeleted: ['named'], SpaceReclaimed: 7 });
    expect(events.seen.map(({ Action, Actor }) => `${Action} ${Actor.ID.slice(0, 5)}`)).toEqual([
      'create used',
      'create named',
      'create fffff',
      'destroy fffff',
      'prune ',
      'destroy named',
      'prune ',
    ]);
  });
});

interface VolumeName {
  readonly Name: string;
}

describe('events', () => {
  it('gives past ones and new ones that the filters want', async () => {
    const events = fakeEvents();
    const images = fakeImages([]);
    await using api = await serve(fakeOptions({ events, images }));
    events.emit('container', 'exec_create: ls', fakeId, { name: 'web', image: 'busybox', a: 'b' });
    events.emit('container', 'die', fakeId, { name: 'other', image: 'busybox:1' });
    images.fire({ action: 'tag', id: 'sha256:1', name: 'evt:1' });
    const past = async (given: object): Promise<string[]> => {
      const query = `since=1700000000&until=1700000001&${filters(given)}`;
      const { text } = await api.call('GET', `/events?${query}`);
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => (JSON.parse(line) as { Action: string }).Action);
    };
    expect(await past({})).toEqual(['exec_create: ls', 'die', 'tag']);
    expect(await past({ event: ['exec_create'] })).toEqual(['exec_create: ls']);
    expect(await past({ container: ['we'] })).toEqual(['exec_create: ls']);
    expect(await past({ type: ['image'] })).toEqual(['tag']);
    expect(await past({ image: ['busybox'] })).toEqual(['exec_create: ls', 'die']);
    expect(await past({ label: ['a=b'] })).toEqual(['exec_create: ls']);
    expect(await past({ scope: ['swarm'] })).toEqual([]);
    const refused = await api.call('GET', '/events?since=2&until=1');
    expect([refused.status, refused.text]).toEqual([
      400,
      '{"message":"`since` time (2) cannot be after `until` time (1)"}\n',
    ]);
  });

  it('streams as they happen, with all digits of their time', async () => {
    const events = fakeEvents();
    await using api = await serve(fakeOptions({ events }));
    const stream = await api.docker.getEvents({});
    const first = new Promise<string>((resolve) => stream.once('data', (chunk) => resolve(String(chunk))));
    // Whoever has the head of the answer is told of all that happens from then on.
    expect(events.listeners).toBe(1);
    events.emit('container', 'start', 'id', { image: 'i', b: '2', a: '1' });
    expect(await first).toBe(
      '{"status":"start","id":"id","from":"i","Type":"container","Action":"start","Actor":{"ID":"id","Attributes":{"a":"1","b":"2","image":"i"}},"scope":"local","time":1700000000,"timeNano":1700000000123456789}\n',
    );
    (stream as unknown as { destroy(): void }).destroy();
  });
});

describe('the system', () => {
  it('tells its version and facts', async () => {
    await using api = await serve(fakeOptions({ images: fakeImages([fakeImage('a')]) }));
    expect(await api.docker.version()).toMatchObject({
      Platform: { Name: 'Wherry' },
      ApiVersion: '1.50',
      MinAPIVersion: '1.24',
      Components: [{ Name: 'Engine' }, { Name: 'conmon', Version: '2.1.6' }, { Name: 'crun', Version: '1.8.1' }],
    });
    expect(await api.docker.info()).toMatchObject({
      Containers: 3,
      ContainersRunning: 1,
      Images: 1,
      CgroupVersion: '2',
      DefaultRuntime: 'crun',
      ServerVersion: '0.1.0',
      RegistryConfig: { InsecureRegistryCIDRs: ['127.0.0.0/8'] },
    });
  });

  it('adds up what is on disk', async () => {
    const shared = { digest: 'sha256:a', size: 1, diffId: 'sha256:a', chainId: 'sha256:a' } as const;
    const own = { digest: 'sha256:b', size: 1, diffId: 'sha256:b', chainId: 'sha256:b' } as const;
    const images = fakeImages([fakeImage('a', { layers: [shared] }), fakeImage('b', { layers: [shared, own] })], {
      layerSizes: async () =>
        new Map([
          ['sha256:a', 10],
          ['sha256:b', 5],
        ]),
    });
    const containers = fakeContainers({ list: async () => [{ ImageID: fakeImage('b').id }] });
    await using api = await serve(fakeOptions({ images, containers }));
    expect(await api.docker.df()).toMatchObject({
      LayersSize: 15,
      Images: [
        { Containers: 0, SharedSize: 10 },
        { Containers: 1, SharedSize: 10 },
      ],
      Volumes: [],
      BuildCache: [],
    });
    const one = JSON.parse((await api.call('GET', '/system/df?type=volume')).text) as object;
    expect(one).toMatchObject({ Images: null, Containers: null, Volumes: [] });
    expect((await api.call('GET', '/system/df?type=x')).status).toBe(400);
  });

  it.each([
    ['GET', '/swarm', 503],
    ['GET', '/nodes', 503],
    ['POST', '/services/create', 503],
    ['GET', '/secrets/x', 503],
    ['POST', '/swarm/init', 501],
    ['GET', '/plugins', 200],
    ['GET', '/plugins/a/b/json', 404],
    ['GET', '/containers/web/checkpoints', 501],
    ['POST', '/session', 400],
    ['POST', '/grpc', 501],
    ['POST', '/build', 501],
  ])('answers %s %s with %i', async (method, path, status) => {
    await using api = await serve(fakeOptions());
    expect((await api.call(method, path)).status).toBe(status);
  });

  it('tells what a registry has under a name', async () => {
    const asked: string[] = [];
    const descriptor = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: 'sha256:1', size: 7 };
    const platforms = [{ architecture: 'amd64', os: 'linux' }];
    const images = fakeImages([], {
      remoteManifest: async (reference) => {
        asked.push(reference);
        if (reference === 'nosuch') throw new WherryError('unauthorized', 'pull access denied');
        return { descriptor, platforms };
      },
    });
    await using api = await serve(fakeOptions({ images }));
    const found = await api.call('GET', '/distribution/a/b:1/json');
    expect(found.status).toBe(200);
    expect(JSON.parse(found.text)).toEqual({ Descriptor: descriptor, Platforms: platforms });
    expect((await api.call('GET', '/distribution/nosuch/json')).status).not.toBe(200);
    expect(asked).toEqual(['a/b:1', 'nosuch']);
  });
});
