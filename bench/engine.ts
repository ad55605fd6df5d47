import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { dockerdPeer, type EnginePeer, podmanPeer, wherryPeer } from './engine-peers.ts';
import { cpuSeconds } from './process-facts.ts';
import { disposed, type Measure, median } from './report.ts';

/** One figure of each engine, by name; those that could not be measured are left out. */
type Figures = Map<string, number>;

const say = (text: string): boolean => process.stderr.write(`bench: engine: ${text}\n`);

/** The engine beside dockerd and podman of the distribution, in the same run; peers that are absent are skipped. */
export async function measureEngine(): Promise<Measure[]> {
  const peers: EnginePeer[] = [];
  try {
    for (const open of [wherryPeer, dockerdPeer, podmanPeer]) {
      const peer = await open();
      if (peer !== undefined) peers.push(peer);
    }
    say(`measuring ${peers.map(({ name }) => name).join(', ')}`);
    const measures: Measure[] = [];
    for (const section of [runs, execs, parallel, idle, logs]) measures.push(...(await section(peers)));
    return measures;
  } finally {
    for (const peer of peers) await disposed(peer);
  }
}

async function runs(peers: readonly EnginePeer[]): Promise<Measure[]> {
  say('run --rm');
  const figures = await alternating(peers, 15, (peer) => must(peer, ['run', '--rm', 'busybox', 'true']));
  return [compared('docker run --rm busybox true', figures, 'ms', { dockerd: 1 / 3 })];
}

async function execs(peers: readonly EnginePeer[]): Promise<Measure[]> {
  say('exec');
  for (const peer of peers) await must(peer, ['run', '-d', '--name', 'execs', 'busybox', 'sleep', '600']);
  const figures = await alternating(peers, 15, (peer) => must(peer, ['exec', 'execs', 'true']));
  for (const peer of peers) await must(peer, ['rm', '-f', 'execs']);
  return [compared('docker exec true', figures, 'ms', { dockerd: 1 / 2 })];
}

const many = 50;

async function parallel(peers: readonly EnginePeer[]): Promise<Measure[]> {
  const figures: Figures = new Map();
  const shared: Figures = new Map();
  const stats: Figures = new Map();
  const busy: Figures = new Map();
  for (const peer of peers) {
    say(`${many} x run -d: ${peer.name}`);
    const names = Array.from({ length: many }, (_, index) => `many${index}`);
    figures.set(
      peer.name,
      await timed(() =>
        Promise.all(names.map((name) => must(peer, ['run', '-d', '--name', name, 'busybox', 'sleep', '600']))),
      ),
    );
    shared.set(peer.name, await monitorMegabytes(peer, many));
    stats.set(peer.name, await timed(() => must(peer, ['stats', '--no-stream'])));
    const pids = await peer.pids();
    if (pids.length > 0) {
      await delay(3000);
      const before = await total(pids, cpuSeconds);
      await delay(20_000);
      busy.set(peer.name, ((await total(pids, cpuSeconds)) - before) * 5);
    }
    await must(peer, ['rm', '-f', ...names]);
  }
  return [
    compared(`${many} x docker run -d in parallel`, figures, 'ms', { dockerd: 1 / 3 }),
    compared('memory of an idle container outside of it (PSS)', shared, 'MB', { dockerd: 1 / 4 }),
    compared(`docker stats --no-stream, ${many} containers`, stats, 'ms', {}),
    compared(`idle CPU of the daemons, ${many} containers`, busy, '%', {}, 0.5),
  ];
}

async function idle(peers: readonly EnginePeer[]): Promise<Measure[]> {
  const figures: Figures = new Map();
  for (const peer of peers) {
    const pids = await peer.pids();
    if (pids.length > 0) figures.set(peer.name, await total(pids, proportionalMegabytes));
  }
  return [compared('memory of the daemons (PSS)', figures, 'MB', {})];
}

async function logs(peers: readonly EnginePeer[]): Promise<Measure[]> {
  const write: Figures = new Map();
  const read: Figures = new Map();
  const line = 'x'.repeat(99);
  for (const peer of peers) {
    say(`200 MB of log: ${peer.name}`);
    const script = `yes ${line} | head -n 2000000`;
    const options = peer.name.startsWith('podman') ? [] : ['--log-opt', 'max-size=1g'];
    write.set(
      peer.name,
      await timed(() =>
        must(peer, ['run', '--name', 'logs', '-d', ...options, 'busybox', 'sh', '-c', script]).then(() =>
          must(peer, ['wait', 'logs']),
        ),
      ),
    );
    let bytes = 0;
    read.set(peer.name, await timed(async () => (bytes = await countBytes(peer, ['logs', 'logs']))));
    if (bytes !== 200_000_000) throw new Error(`${peer.name}: docker logs gave ${bytes} bytes`);
    await must(peer, ['rm', '-f', 'logs']);
  }
  return [
    compared('write 200 MB of log lines', write, 'ms', { podman: 1 }),
    compared('docker logs | wc -c of 200 MB', read, 'ms', { dockerd: 1 / 3 }),
  ];
}

/** Wherry's figure against dockerd's, or the peer's that has a bound. */
function compared(
  name: string,
  figures: Figures,
  unit: Measure['unit'],
  bounds: { readonly dockerd?: number; readonly podman?: number },
  absolute?: number,
): Measure {
  const of = (prefix: string): [string, number] | undefined => [...figures].find(([peer]) => peer.startsWith(prefix));
  const against = bounds.podman === undefined ? (of('dockerd') ?? of('podman')) : of('podman');
  const bound = bounds.podman ?? bounds.dockerd;
  const target = absolute ?? (against && bound !== undefined ? Math.round(against[1] * bound * 10) / 10 : undefined);
  const others = [...figures].filter(([peer]) => peer !== 'wherry' && peer !== against?.[0]);
  return {
    name,
    value: figures.get('wherry') ?? Number.NaN,
    unit,
    against: against && { name: against[0], value: against[1] },
    target,
    note: others.map(([peer, value]) => `${peer} ${value.toFixed(1)} ${unit}`).join(', '),
  };
}

/** Each engine in turn, so that the machine's changing speed meets all of them; the first round is not counted. */
async function alternating(
  peers: readonly EnginePeer[],
  rounds: number,
  work: (peer: EnginePeer) => Promise<unknown>,
): Promise<Figures> {
  const times = new Map<string, number[]>(peers.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++)
    for (const peer of peers) {
      const took = await timed(() => work(peer));
      if (round > 0) times.get(peer.name)!.push(took);
    }
  return new Map([...times].map(([name, values]) => [name, median(values)]));
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function must(peer: EnginePeer, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await peer.run(args, { timeout: 300_000 });
  if (code !== 0) throw new Error(`${peer.name}: ${args.join(' ')}: ${stderr}`);
  return stdout;
}

function countBytes(peer: EnginePeer, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const [program, ...rest] = [...peer.command, ...args] as [string, ...string[]];
    const counter = spawn('sh', ['-c', '"$@" | wc -c', 'sh', program, ...rest], {
      env: { ...process.env, ...peer.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    counter.stdout.on('data', (part: Buffer) => {
      text += part;
    });
    counter.once('error', reject).once('close', () => resolve(Number(text)));
  });
}

/** Proportional memory of all of a peer's monitors, for each container. Their command lines name its folder. */
async function monitorMegabytes({ directory, monitors }: EnginePeer, containers: number): Promise<number> {
  const pids: number[] = [];
  for (const pid of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const program = command.split('\0')[0]?.split('/').at(-1) ?? '';
    if (command.includes(directory) && monitors.some((monitor) => program.startsWith(monitor))) pids.push(Number(pid));
  }
  return (await total(pids, proportionalMegabytes)) / containers;
}

async function total(pids: readonly number[], measure: (pid: number) => Promise<number>): Promise<number> {
  let sum = 0;
  for (const pid of pids) sum += await measure(pid);
  return sum;
}

/** Memory of a process with shared pages divided among their users, in MB (2^20): `Pss` of proc_pid_smaps(5). */
async function proportionalMegabytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
  return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
}
