import { connect } from 'node:net';

/** Numbers in [0, 1) that are the same for one seed: mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A call of the API as a client would make it: what is in braces and the values of the query are made hostile. */
interface Template {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** It leaves HTTP. */
  readonly hijacks?: true;
}

/** What a request is sent as. */
export type Manner = 'whole' | 'aborted' | 'half-closed' | 'pipelined';

export interface HostileRequest {
  /** Method and path as in the API's documentation. */
  readonly call: string;
  readonly text: Buffer;
  readonly manner: Manner;
}

/** Names of what the requests are about. */
export const subjects = { running: 'fuzz-running', created: 'fuzz-created', network: 'fuzz-net', volume: 'fuzz-vol' };

const device = { Path: '/dev/null', Rate: 1024 };
const hostConfig = {
  Annotations: { a: 'b' },
  Binds: ['fuzz-vol:/v:ro'],
  BlkioDeviceReadBps: [device],
  BlkioWeight: 100,
  CapAdd: ['NET_RAW'],
  CapDrop: ['ALL'],
  CgroupnsMode: 'private',
  ConsoleSize: [24, 80],
  CpuPeriod: 100_000,
  CpuQuota: 50_000,
  CpusetCpus: '0',
  Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/n', CgroupPermissions: 'r' }],
  Dns: ['127.0.0.1'],
  ExtraHosts: ['a:127.0.0.1'],
  GroupAdd: ['0'],
  Init: true,
  IpcMode: 'private',
  LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } },
  Memory: 67_108_864,
  MemorySwap: 67_108_864,
  Mounts: [{ Type: 'volume', Source: 'fuzz-vol', Target: '/m', ReadOnly: true, VolumeOptions: { Labels: { a: 'b' } } }],
  NetworkMode: 'fuzz-net',
  OomScoreAdj: 10,
  PidsLimit: 100,
  PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] },
  RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 1 },
  SecurityOpt: ['no-new-privileges'],
  ShmSize: 65_536,
  StorageOpt: {},
  Sysctls: { 'net.ipv4.ip_forward': '0' },
  Tmpfs: { '/t': 'size=1m' },
  Ulimits: [{ Name: 'nofile', Soft: 100, Hard: 100 }],
  VolumesFrom: [],
};
const container = {
  Image: 'busybox',
  Cmd: ['true'],
  Entrypoint: [],
  Env: ['A=b'],
  ExposedPorts: { '80/tcp': {} },
  Healthcheck: { Test: ['NONE'], Interval: 1_000_000_000, Retries: 1 },
  Hostname: 'h',
  Labels: { a: 'b' },
  StopSignal: 'SIGKILL',
  StopTimeout: 1,
  Tty: false,
  User: '0',
  Volumes: { '/d': {} },
  WorkingDir: '/',
  HostConfig: hostConfig,
  NetworkingConfig: { EndpointsConfig: { 'fuzz-net': { Aliases: ['x'], IPAMConfig: { IPv4Address: '' } } } },
};
const network = {
  Name: 'n',
  Driver: 'bridge',
  Internal: false,
  EnableIPv6: false,
  IPAM: { Driver: 'default', Config: [{ Subnet: '10.201.0.0/24', Gateway: '10.201.0.1' }], Options: {} },
  Options: { 'com.docker.network.driver.mtu': '1400' },
  Labels: { a: 'b' },
};
const filters = '{"label":["a=b"]}';
const streams = { stream: '1', stdin: '1', stdout: '1', stderr: '1', logs: '1', detachKeys: 'ctrl-p' };

const templates: readonly Template[] = [
  { method: 'GET', path: '/_ping' },
  { method: 'GET', path: '/version' },
  { method: 'GET', path: '/info' },
  { method: 'GET', path: '/system/df', query: { type: 'container' } },
  { method: 'GET', path: '/events', query: { since: '1', until: '2', filters } },
  { method: 'POST', path: '/auth', body: { username: 'a', password: 'b', serveraddress: '127.0.0.1:1' } },
  { method: 'GET', path: '/containers/json', query: { all: '1', limit: '3', size: '0', filters } },
  { method: 'POST', path: '/containers/create', query: { name: '', platform: '' }, body: container },
  { method: 'GET', path: '/containers/{container}/json', query: { size: '1' } },
  { method: 'GET', path: '/containers/{container}/top', query: { ps_args: '-ef' } },
  { method: 'GET', path: '/containers/{container}/stats', query: { stream: '0', 'one-shot': '1' } },
  { method: 'GET', path: '/containers/{container}/changes' },
  { method: 'GET', path: '/containers/{container}/export' },
  { method: 'GET', path: '/containers/{container}/logs', query: { stdout: '1', tail: '3', since: '0', until: '0', follow: '0', timestamps: '1' } },
  { method: 'GET', path: '/containers/{container}/archive', query: { path: '/etc' } },
  { method: 'HEAD', path: '/containers/{container}/archive', query: { path: '/etc' } },
  { method: 'PUT', path: '/containers/{container}/archive', query: { path: '/', noOverwriteDirNonDir: '1', copyUIDGID: '1' } },
  { method: 'POST', path: '/containers/{container}/start', query: { detachKeys: 'ctrl-p' } },
  { method: 'POST', path: '/containers/{container}/stop', query: { t: '0', signal: 'SIGKILL' } },
  { method: 'POST', path: '/containers/{container}/restart', query: { t: '0', signal: 'SIGKILL' } },
  { method: 'POST', path: '/containers/{container}/kill', query: { signal: 'SIGKILL' } },
  { method: 'POST', path: '/containers/{container}/pause' },
  { method: 'POST', path: '/containers/{container}/unpause' },
  { method: 'POST', path: '/containers/{container}/rename', query: { name: 'fuzz-other' } },
  { method: 'POST', path: '/containers/{container}/resize', query: { h: '20', w: '80' } },
  { method: 'POST', path: '/containers/{container}/update', body: hostConfig },
  { method: 'POST', path: '/containers/{container}/wait', query: { condition: 'not-running' } },
  { method: 'POST', path: '/containers/{container}/attach', query: streams, hijacks: true },
  { method: 'GET', path: '/containers/{container}/attach/ws', query: streams },
  { method: 'DELETE', path: '/containers/{container}', query: { v: '1', force: '1', link: '0' } },
  { method: 'POST', path: '/containers/prune', query: { filters } },
  { method: 'POST', path: '/containers/{container}/exec', body: { Cmd: ['true'], AttachStdout: true, AttachStdin: true, Tty: false, Env: ['A=b'], User: '0', WorkingDir: '/', DetachKeys: '', ConsoleSize: [1, 1] } },
  { method: 'POST', path: '/exec/{exec}/start', body: { Detach: false, Tty: false, ConsoleSize: [1, 1] }, hijacks: true },
  { method: 'POST', path: '/exec/{exec}/resize', query: { h: '20', w: '80' } },
  { method: 'GET', path: '/exec/{exec}/json' },
  { method: 'POST', path: '/commit', query: { container: 'fuzz-created', repo: 'fuzz', tag: 't', comment: 'c', pause: '0', changes: 'CMD true' }, body: container },
  { method: 'GET', path: '/images/json', query: { all: '1', digests: '1', filters } },
  { method: 'GET', path: '/images/{image}/json', query: { manifests: '1' } },
  { method: 'GET', path: '/images/{image}/history' },
  { method: 'GET', path: '/images/{image}/get' },
  { method: 'GET', path: '/images/get', query: { names: 'busybox' } },
  { method: 'POST', path: '/images/{image}/tag', query: { repo: 'fuzz', tag: 't' } },
  { method: 'DELETE', path: '/images/fuzz{image}', query: { force: '1', noprune: '1' } },
  { method: 'POST', path: '/images/load', query: { quiet: '1' } },
  { method: 'POST', path: '/images/prune', query: { filters: '{"dangling":["true"]}' } },
  { method: 'POST', path: '/build', query: { t: 'fuzz', dockerfile: 'Dockerfile', q: '1', memory: '0', buildargs: '{"a":"b"}', labels: '{}', cachefrom: '[]', networkmode: 'none', target: '' } },
  { method: 'POST', path: '/build/prune', query: { all: '1', filters } },
  { method: 'POST', path: '/session' },
  { method: 'GET', path: '/networks', query: { filters } },
  { method: 'GET', path: '/networks/{network}', query: { verbose: '1', scope: 'local' } },
  { method: 'POST', path: '/networks/create', body: network },
  { method: 'POST', path: '/networks/{network}/connect', body: { Container: 'fuzz-running', EndpointConfig: { Aliases: ['x'], DriverOpts: {}, IPAMConfig: { IPv4Address: '' } } } },
  { method: 'POST', path: '/networks/{network}/disconnect', body: { Container: 'fuzz-running', Force: true } },
  { method: 'DELETE', path: '/networks/{network}' },
  { method: 'POST', path: '/networks/prune', query: { filters } },
  { method: 'GET', path: '/volumes', query: { filters } },
  { method: 'GET', path: '/volumes/{volume}' },
  { method: 'POST', path: '/volumes/create', body: { Name: 'fuzz-v', Driver: 'local', DriverOpts: {}, Labels: { a: 'b' } } },
  { method: 'PUT', path: '/volumes/{volume}', query: { version: '1' } },
  { method: 'DELETE', path: '/volumes/{volume}', query: { force: '1' } },
  { method: 'POST', path: '/volumes/prune', query: { filters } },
  { method: 'GET', path: '/plugins' },
  { method: 'GET', path: '/swarm' },
]; // biome-ignore format: a call a line

const texts: readonly string[] = [
  ...[
    '',
    ' ',
    '-1',
    '0',
    '1',
    '1.5',
    'NaN',
    'Infinity',
    '1e400',
    '9'.repeat(400),
    '-9223372036854775809',
    'true',
    'null',
  ],
  ...['\0', '\u{1f4a5}', 'é', '..', '../../../etc/passwd', '/', '//', '%', '{"a":', '[]', '{}', '{"label":1}'],
  ...[
    '{"status":["nosuch"]}',
    '{"id":{"a":true}}',
    '\r\nX: y',
    'a'.repeat(5000),
    '__proto__',
    'constructor',
    '/etc/passwd',
  ],
];
const values: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 1e308, 2 ** 53, -(2 ** 63), 2 ** 64, '', '\0', 'x', '..', '/', 'a'.repeat(5000), 'NaN'],
  ...[[], [null], [''], [[]], [{}], {}, { '': {} }, { '': null }, { __proto__x: 1 }, { a: [null] }, ['a:b:c:d'], '-1'],
];
const rawBodies: readonly string[] = [
  ...['', 'null', '[]', '"x"', '{', '}', '1e999', '{"a":1}{"b":2}', '\ufeff{}', '{"Image":"busybox","Image":1}', 'x'],
  ...['{"Image":"\\ud800"}', '{"__proto__":{"Image":"busybox"}}', '{"Image":"busybox","image":["x"]}', '{"Cmd":{}}'],
  ...['['.repeat(50_000), `{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`, '{"HostConfig":{"Memory":1e999}}'],
];
const contentTypes = [
  'application/json',
  'application/json',
  'text/plain',
  'application/x-tar',
  'json; =',
  '',
  undefined,
];
const encodings = ['%zz', '%', '%c3', 'a=%00', '&&&=', ';;', '=', '?', '%u0041=1', 'a=1&a=2', '+'];

/** Requests without end, the same for one seed. */
export function* hostileRequests(random: () => number, execs: () => string): Generator<HostileRequest> {
  const one = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const chance = (of: number): boolean => random() < of;
  const mutated = (value: unknown): unknown => {
    if (chance(0.15) || typeof value !== 'object' || value === null || Object.keys(value).length === 0)
      return one(values);
    const key = one(Object.keys(value));
    if (Array.isArray(value)) return value.map((each, at) => (String(at) === key ? mutated(each) : each));
    if (chance(0.1)) return { ...value, [one(texts)]: one(values) };
    return { ...value, [key]: mutated((value as Record<string, unknown>)[key]) };
  };
  const subjectOf = (kind: string): string => {
    if (chance(0.15)) return encodeURIComponent(one(texts));
    if (kind === 'container') return one([subjects.running, subjects.created]);
    if (kind === 'image') return one(['busybox', 'busybox:latest', 'nosuch', 'busybox@sha256:x']);
    if (kind === 'exec') return execs();
    return kind === 'network' ? one([subjects.network, 'bridge', 'none']) : subjects.volume;
  };
  const queryOf = (query: Template['query'] = {}): string => {
    if (chance(0.05)) return `?${one(encodings)}`;
    const pairs = Object.entries(query).filter(() => chance(0.7));
    const bad = Math.floor(random() * pairs.length);
    const written = pairs.map(([name, value], at) => {
      const wanted = at === bad && chance(0.7) ? one(texts) : value;
      return `${name}=${encodeURIComponent(wanted)}`;
    });
    return written.length === 0 ? '' : `?${written.join('&')}`;
  };
  for (;;) {
    const template = one(templates);
    const { method, path, body, hijacks } = template;
    const version = chance(0.8) ? '/v1.45' : one(['', '/v1.24', '/v1.50', '/v9', '/v1.999', '/vx']);
    const target = version + path.replace(/\{(\w+)\}/, (_, kind: string) => subjectOf(kind)) + queryOf(template.query);
    const raw = body === undefined || chance(0.15);
    const sent = raw ? (method === 'GET' ? '' : one(rawBodies)) : JSON.stringify(chance(0.2) ? body : mutated(body));
    const type = raw || chance(0.1) ? one(contentTypes) : 'application/json';
    const manner = one<Manner>(['whole', 'whole', 'whole', 'aborted', 'half-closed', 'pipelined']);
    const head = [
      `${method} ${target} HTTP/1.1`,
      'Host: docker',
      ...(type === undefined ? [] : [`Content-Type: ${type}`]),
      ...(hijacks && chance(0.7) ? ['Connection: Upgrade', 'Upgrade: tcp'] : []),
      ...(path.endsWith('/ws') && chance(0.7) ? ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${one(['dGhlIHNhbXBsZSBub25jZQ==', 'x'])}`] : []), // biome-ignore format: one set of headers
      ...(sent === '' && method !== 'POST' ? [] : [`Content-Length: ${Buffer.byteLength(sent)}`]),
    ];
    yield { call: `${method} ${path}`, text: Buffer.from(`${head.join('\r\n')}\r\n\r\n${sent}`), manner };
  }
}

/** Longer than any answer takes that does not wait for something (ms). */
const patience = 3000;

/** Sends one; resolves with the first answer's status, and its beginning, when the connection has ended. */
export function send(
  socketPath: string,
  { text, manner }: HostileRequest,
): Promise<{ status: number; answer: string }> {
  return new Promise((resolve) => {
    const socket = connect({ path: socketPath, allowHalfOpen: true });
    const timer = setTimeout(() => socket.destroy(), patience);
    let answer = '';
    socket.on('connect', () => {
      if (manner === 'aborted') socket.write(text.subarray(0, Math.ceil(text.length * 0.8)), () => socket.destroy());
      else if (manner === 'pipelined')
        socket.write(Buffer.concat([text, Buffer.from('GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n')])); // biome-ignore format: one request behind the other
      else if (manner === 'half-closed') socket.end(text);
      else socket.write(text);
    });
    socket.on('data', (chunk: Buffer) => {
      if (answer.length < 2000) answer += chunk.toString('latin1');
      // What goes on without an end is let go in its midst.
      if (/\r\n\r\n/.test(answer) && manner !== 'half-closed') setImmediate(() => socket.destroy());
    });
    socket.on('end', () => socket.end());
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0), answer });
    });
  });
}
