import { createSocket } from 'node:dgram';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1EndpointSlice, V1Namespace, V1Service } from '@wherry/api';
import { silentLogger, systemClock, VirtualClock } from '@wherry/base';
import type { Informer, InformerFactory, KubeObject } from '@wherry/client';
import packet, { type Answer, type DecodedPacket } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AnswerCache } from './answer-cache.ts';
import { createClusterSource } from './cluster-source.ts';
import { createDnsServer, type DnsServer } from './dns-server.ts';
import { nameServers, ResolvConf } from './resolv-conf.ts';

const service = (name: string, spec: V1Service['spec']): V1Service => ({
  metadata: { namespace: 'default', name },
  spec: spec!,
});
const services: V1Service[] = [
  service('web', {
    clusterIP: '10.96.0.10',
    ports: [
      { name: 'http', port: 80 },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ],
  }),
  service('db', { clusterIP: 'None', ports: [{ name: 'pg', port: 5432 }] }),
  service('hidden', { clusterIP: 'None' }),
  service('early', { clusterIP: 'None', publishNotReadyAddresses: true }),
  service('big', { clusterIP: 'None' }),
  service('alias', { type: 'ExternalName', externalName: 'web.default.svc.cluster.local' }),
  service('outside', { type: 'ExternalName', externalName: 'known.example.com' }),
];
const slice = (name: string, endpoints: V1EndpointSlice['endpoints'], port?: number): V1EndpointSlice => ({
  addressType: 'IPv4',
  metadata: { namespace: 'default', name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
  ports: [{ name: 'pg', port, protocol: 'TCP' }],
  endpoints: endpoints!,
});
const slices: V1EndpointSlice[] = [
  slice('db', [{ addresses: ['10.244.0.5'], hostname: 'db-0' }, { addresses: ['10.244.0.6'] }], 5432),
  slice('hidden', [{ addresses: ['10.244.0.7'], conditions: { ready: false } }]),
  slice('early', [{ addresses: ['10.244.0.7'], conditions: { ready: false } }]),
  slice(
    'big',
    Array.from({ length: 100 }, (_, i) => ({ addresses: [`10.244.1.${i}`] })),
  ),
];
const namespaces: V1Namespace[] = [{ metadata: { name: 'default' } }, { metadata: { name: 'empty' } }];

function informersOf(): InformerFactory {
  const objects: Record<string, readonly KubeObject[]> = { services, endpointslices: slices, namespaces };
  return {
    informer: <T extends KubeObject>(
      resource: { resource: string },
      options?: { indexes?: Record<string, unknown> },
    ) => {
      const list = (objects[resource.resource] ?? []) as readonly T[];
      const indexes = (options?.indexes ?? {}) as Record<string, (object: T) => readonly string[]>;
      const keyOf = ({ metadata }: T): string => (metadata?.namespace ? `${metadata.namespace}/` : '') + metadata?.name;
      const informer: Informer<T> = {
        synced: Promise.resolve(),
        get: (key) => list.find((object) => keyOf(object) === key),
        list: () => list,
        byIndex: (index, value) => list.filter((object) => indexes[index]?.(object).includes(value)),
        onChange: () => ({ [Symbol.dispose]: () => undefined }),
      };
      return informer;
    },
    run: () => Promise.resolve(),
  } as InformerFactory;
}

let upstreamQueries: string[] = [];
let upstream: DnsServer;
let server: DnsServer;

beforeAll(async () => {
  const soa: Answer = {
    type: 'SOA',
    name: 'example.com',
    ttl: 9,
    data: { mname: 'a', rname: 'b', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 9 },
  };
  upstream = await createDnsServer({
    sources: [
      {
        soa,
        resolve: (name) => {
          upstreamQueries.push(name);
          if (name === 'known.example.com')
            return { kind: 'records', answers: [{ type: 'A', name, ttl: 60, data: '198.51.100.7' }] };
          if (name !== 'long.example.com') return { kind: 'noName' };
          return {
            kind: 'records',
            answers: Array.from({ length: 200 }, (_, i) => ({
              type: 'A' as const,
              name,
              ttl: 60,
              data: `198.51.100.${i}`,
            })),
          };
        },
      },
    ],
    addresses: ['127.0.0.1'],
    port: 0,
    upstream: { servers: [] },
    log: silentLogger,
  });
  server = await createDnsServer({
    sources: [createClusterSource({ informers: informersOf(), ranges: ['10.96.0.0/16', '10.244.0.0/16'] })],
    addresses: ['127.0.0.1'],
    port: 0,
    upstream: { servers: ['127.0.0.1'], port: upstream.port },
    log: silentLogger,
    clock: systemClock,
  });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});

function sendUdp(data: Buffer, port = server.port): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.once('message', (answer) => {
      socket.close();
      resolve(answer);
    });
    socket.send(data, port, '127.0.0.1');
  });
}

function encodeQuestion(name: string, type: string, udpPayloadSize = 0): Buffer {
  const opt: Answer = {
    type: 'OPT',
    name: '.',
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  return packet.encode({
    type: 'query',
    id: 7,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: type as 'A' }],
    additionals: udpPayloadSize > 0 ? [opt] : [],
  });
}

async function ask(name: string, type = 'A', udpPayloadSize = 0): Promise<DecodedPacket & { rcode: string }> {
  return packet.decode(await sendUdp(encodeQuestion(name, type, udpPayloadSize))) as DecodedPacket & { rcode: string };
}

async function dataOf(name: string, type = 'A'): Promise<unknown[]> {
  const { answers = [], rcode } = await ask(name, type);
  return answers.length === 0 ? [rcode] : answers.map((answer) => (answer as { data: unknown }).data).sort();
}

describe('names of the cluster', () => {
  test.each([
    ['web.default.svc.cluster.local', 'A', ['10.96.0.10']],
    ['web.default.svc.cluster.local', 'AAAA', ['NOERROR']],
    ['WEB.Default.svc.Cluster.Local', 'A', ['10.96.0.10']],
    ['db.default.svc.cluster.local', 'A', ['10.244.0.5', '10.244.0.6']],
    ['db-0.db.default.svc.cluster.local', 'A', ['10.244.0.5']],
    ['10-244-0-6.db.default.svc.cluster.local', 'A', ['10.244.0.6']],
    ['10-244-0-5.db.default.svc.cluster.local', 'A', ['NXDOMAIN']],
    ['db-0.web.default.svc.cluster.local', 'A', ['NXDOMAIN']],
    ['hidden.default.svc.cluster.local', 'A', ['NOERROR']],
    ['early.default.svc.cluster.local', 'A', ['10.244.0.7']],
    ['none.default.svc.cluster.local', 'A', ['NXDOMAIN']],
    ['web.nowhere.svc.cluster.local', 'A', ['NXDOMAIN']],
    ['default.svc.cluster.local', 'A', ['NOERROR']],
    ['nowhere.svc.cluster.local', 'A', ['NXDOMAIN']],
    ['svc.cluster.local', 'A', ['NOERROR']],
    ['other.cluster.local', 'A', ['NXDOMAIN']],
    ['10-244-0-9.default.pod.cluster.local', 'A', ['10.244.0.9']],
    ['10-244-0-9.nowhere.pod.cluster.local', 'A', ['NXDOMAIN']],
    ['10-244-0-999.default.pod.cluster.local', 'A', ['NXDOMAIN']],
    ['10.0.96.10.in-addr.arpa', 'PTR', ['web.default.svc.cluster.local']],
    ['10.0.96.10.in-addr.arpa', 'A', ['NOERROR']],
    ['11.0.96.10.in-addr.arpa', 'PTR', ['NXDOMAIN']],
    ['_http._tcp.web.default.svc.cluster.local', 'A', ['NOERROR']],
    ['_http._udp.web.default.svc.cluster.local', 'SRV', ['NXDOMAIN']],
    ['_tcp.web.default.svc.cluster.local', 'A', ['NOERROR']],
  ])('%s %s', async (name, type, expected) => {
    expect(await dataOf(name, type)).toEqual(expected);
  });

  test('negative answers carry the start of authority', async () => {
    for (const name of ['none.default.svc.cluster.local', 'default.svc.cluster.local']) {
      const { authorities } = await ask(name);
      expect(authorities).toEqual([expect.objectContaining({ type: 'SOA', name: 'cluster.local', ttl: 5 })]);
    }
  });

  test('answers are authoritative and keep the spelling of the question', async () => {
    const answer = await ask('wEb.default.svc.cluster.local');
    expect(answer.flag_aa).toBe(true);
    expect(answer.answers?.[0]?.name).toBe('wEb.default.svc.cluster.local');
  });

  test('ports have SRV records with the addresses beside them', async () => {
    const one = await ask('_http._tcp.web.default.svc.cluster.local', 'SRV');
    expect(one.answers).toEqual([
      expect.objectContaining({
        data: { priority: 0, weight: 100, port: 80, target: 'web.default.svc.cluster.local' },
      }),
    ]);
    expect(one.additionals).toEqual([expect.objectContaining({ type: 'A', data: '10.96.0.10' })]);
    const many = await ask('_pg._tcp.db.default.svc.cluster.local', 'SRV');
    expect(many.answers?.map((answer) => (answer.type === 'SRV' ? answer.data.target : '')).sort()).toEqual([
      '10-244-0-6.db.default.svc.cluster.local',
      'db-0.db.default.svc.cluster.local',
    ]);
  });

  test('addresses of headless endpoints have names', async () => {
    expect(await dataOf('5.0.244.10.in-addr.arpa', 'PTR')).toEqual(['db-0.db.default.svc.cluster.local']);
    // In the cluster's range, so never asked elsewhere.
    upstreamQueries = [];
    expect(await dataOf('99.0.244.10.in-addr.arpa', 'PTR')).toEqual(['NXDOMAIN']);
    expect(upstreamQueries).toEqual([]);
  });

  test('the version of the specification', async () => {
    expect(String(await dataOf('dns-version.cluster.local', 'TXT'))).toBe('1.1.0');
  });

  test('aliases are followed, in the cluster and outside', async () => {
    expect(await dataOf('alias.default.svc.cluster.local')).toEqual(['10.96.0.10', 'web.default.svc.cluster.local']);
    expect(await dataOf('outside.default.svc.cluster.local')).toEqual(['198.51.100.7', 'known.example.com']);
  });
});

describe('other names', () => {
  test('are asked upstream once, then remembered, missing ones too', async () => {
    upstreamQueries = [];
    for (let i = 0; i < 2; i++) {
      expect(await dataOf('missing.example.com')).toEqual(['NXDOMAIN']);
      expect(await dataOf('KNOWN.example.com')).toEqual(['198.51.100.7']);
    }
    expect(upstreamQueries.filter((name) => name === 'missing.example.com')).toHaveLength(1);
  });

  test('are asked again over TCP when the answer was too long, and truncated for who takes little', async () => {
    const answer = await ask('long.example.com', 'A', 512);
    expect(answer.flag_tc).toBe(true);
    expect(answer.answers).toEqual([]);
    expect(await askOverTcp(['long.example.com'])).toEqual([200]);
  });

  test('fail when nobody can be asked', async () => {
    await using alone = await createDnsServer({
      sources: [],
      addresses: ['127.0.0.1'],
      port: 0,
      upstream: { servers: [] },
      log: silentLogger,
    });
    expect(packet.decode(await sendUdp(encodeQuestion('example.com', 'A'), alone.port))).toMatchObject({
      rcode: 'SERVFAIL',
    });
  });
});

/** Several questions in one stream, in pieces; gives the number of answers of each. */
function askOverTcp(names: readonly string[]): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1');
    const questions = names.map((name) =>
      packet.streamEncode({ type: 'query', id: 1, flags: 0, questions: [{ name, type: 'A' }] }),
    );
    const all = Buffer.concat(questions);
    socket.write(all.subarray(0, 5));
    setImmediate(() => socket.end(all.subarray(5)));
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.once('error', reject);
    socket.once('end', () => {
      const counts: number[] = [];
      for (let rest = Buffer.concat(chunks); rest.length > 2; rest = rest.subarray(2 + rest.readUInt16BE(0))) {
        counts.push(packet.streamDecode(rest).answers?.length ?? 0);
      }
      resolve(counts);
    });
  });
}

describe('transport', () => {
  test('TCP answers several questions of one connection', async () => {
    const names = ['web.default.svc.cluster.local', 'db.default.svc.cluster.local', 'big.default.svc.cluster.local'];
    expect(await askOverTcp(names)).toEqual([1, 2, 100]);
  });

  test('UDP answers fit what the client takes', async () => {
    const small = await sendUdp(encodeQuestion('big.default.svc.cluster.local', 'A'));
    expect(small.length).toBeLessThanOrEqual(512);
    expect(packet.decode(small).flag_tc).toBe(true);
    const huge = await sendUdp(encodeQuestion('big.default.svc.cluster.local', 'A', 65_535));
    expect(huge.length).toBeLessThanOrEqual(1232);
  });

  test('hostile packets get an error or nothing, and the server goes on', async () => {
    const good = encodeQuestion('web.default.svc.cluster.local', 'A');
    const response = Buffer.from(good);
    response.writeUInt8(0x80, 2);
    const socket = createSocket('udp4');
    for (const bad of [Buffer.alloc(0), Buffer.alloc(3), response]) socket.send(bad, server.port, '127.0.0.1');
    socket.close();
    // A name that points at itself (RFC 1035, 4.1.4).
    const loop = Buffer.concat([good.subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
    for (const [bad, rcode] of [
      [loop, 'FORMERR'],
      [good.subarray(0, 16), 'FORMERR'],
      [Buffer.concat([good.subarray(0, 4), Buffer.from([0, 9]), good.subarray(6)]), 'FORMERR'],
      [Buffer.concat([good.subarray(0, 2), Buffer.from([0x28]), good.subarray(3)]), 'NOTIMP'],
    ] as const) {
      expect(packet.decode(await sendUdp(bad))).toMatchObject({ rcode, id: 7 });
    }
    expect(await dataOf('web.default.svc.cluster.local')).toEqual(['10.96.0.10']);
    expect((await ask('web.default.svc.cluster.local', 'HTTPS')).rcode).toBe('NOERROR');
    expect((await ask('known.example.com', 'UNKNOWN_65280')).rcode).toBeDefined();
  });
});

describe('the parts', () => {
  test('the cache counts down and forgets', async () => {
    const clock = new VirtualClock();
    const cache = new AnswerCache(clock);
    cache.put('a', {
      rcode: 'NOERROR',
      answers: [{ type: 'A', name: 'a', ttl: 20, data: '192.0.2.1' }],
      authorities: [],
    });
    cache.put('fails', { rcode: 'SERVFAIL', answers: [], authorities: [] });
    await clock.advance(15_000);
    expect(cache.get('a')?.answers).toEqual([expect.objectContaining({ ttl: 5 })]);
    expect(cache.get('fails')).toBeUndefined();
    await clock.advance(5000);
    expect(cache.get('a')).toBeUndefined();
  });

  test('resolv.conf is read as the C library does, and again when it was replaced', async () => {
    expect(
      nameServers('# x\nnameserver 192.0.2.1\nnameserver  bad\n search a b\nnameserver 192.0.2.1\nnameserver ::1\n'),
    ).toEqual(['192.0.2.1', '::1']);
    const directory = await mkdtemp(join(tmpdir(), 'wherry-dns-'));
    try {
      const path = join(directory, 'resolv.conf');
      using conf = new ResolvConf(path, silentLogger);
      expect(conf.servers).toEqual([]);
      await writeFile(`${path}.new`, 'nameserver 192.0.2.2\n');
      await rename(`${path}.new`, path);
      await expect.poll(() => conf.servers).toEqual(['192.0.2.2']);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
