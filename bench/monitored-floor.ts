import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { median } from './report.ts';

interface Spec {
  readonly process: { readonly args: readonly string[] };
  readonly root: { readonly path: string };
  readonly linux: { readonly namespaces: readonly { readonly type: string; readonly path?: string }[] };
  readonly annotations?: Readonly<Record<string, string>>;
}

/**
 * Milliseconds of what a shell script would do for a run of `true`: conmon with `crun create`, `crun start`, the wait for
 * the exit code, `crun delete`. The specification is that of a container of the engine, with its seccomp profile,
 * mounts and limits, and fresh namespaces; the root stands ready.
 */
export async function measureMonitoredFloor(options: {
  /** The `config.json` of a container of the engine. */
  readonly config: string;
  readonly rootfs: string;
  readonly cgroupParent: string;
  /** Where crun can run, on a machine with hybrid cgroups. */
  readonly mountNamespace: string | undefined;
}): Promise<number> {
  const folder = await mkdtemp(join(dirname(options.rootfs), 'monitored-'));
  const exits = join(folder, 'exits');
  await mkdir(exits);
  const enter = options.mountNamespace === undefined ? [] : ['nsenter', `--mount=${options.mountNamespace}`, '--'];
  const state = `--root=${join(folder, 'state')}`;
  const spec = JSON.parse(await readFile(options.config, 'utf8')) as Spec;
  const times: number[] = [];
  for (let turn = 0; turn < 12; turn++) {
    const id = `floor${turn}`;
    const bundle = join(folder, id);
    await mkdir(bundle);
    await writeFile(join(bundle, 'config.json'), JSON.stringify(plain(spec, options, id)));
    const log = await open(join(bundle, 'output'), 'w');
    const ended = fileIn(exits, id);
    const began = performance.now();
    await monitor([...enter, 'conmon'], { id, bundle, exits, state, log: log.fd });
    await run([...enter, 'crun', state, 'start', id], log.fd);
    await ended;
    await run([...enter, 'crun', state, 'delete', '--force', id], log.fd);
    times.push(performance.now() - began);
    await log.close();
  }
  await rm(folder, { recursive: true });
  return median(times.slice(2));
}

/** Without what the engine has made before: the filter, pinned namespaces, files of its own. */
function plain(spec: Spec, { rootfs, cgroupParent }: { rootfs: string; cgroupParent: string }, id: string): object {
  const namespaces = spec.linux.namespaces.map(({ type }) => ({ type }));
  return {
    ...spec,
    process: { ...spec.process, args: ['true'] },
    root: { path: rootfs },
    annotations: {},
    linux: { ...spec.linux, namespaces, cgroupsPath: `/${cgroupParent}/${id}` },
  };
}

/** Resolves when conmon says that the container is there. */
async function monitor(
  [program, ...enter]: readonly string[],
  at: {
    readonly id: string;
    readonly bundle: string;
    readonly exits: string;
    readonly state: string;
    readonly log: number;
  },
): Promise<void> {
  const args = [
    '--api-version=1',
    `--cid=${at.id}`,
    `--cuuid=${at.id}`,
    `--name=${at.id}`,
    `--bundle=${at.bundle}`,
    `--exit-dir=${at.exits}`,
    `--conmon-pidfile=${join(at.bundle, 'monitor.pid')}`,
    `--container-pidfile=${join(at.bundle, 'container.pid')}`,
    `--log-path=k8s-file:${join(at.bundle, 'log')}`,
    '--full-attach',
    '--no-sync-log',
    '--runtime=/usr/bin/crun',
    `--runtime-arg=${at.state}`,
  ];
  const child = spawn(program!, [...enter, ...args], {
    stdio: ['ignore', at.log, at.log, 'pipe'],
    env: { _OCI_SYNCPIPE: '3', PATH: process.env.PATH },
  });
  const [said] = (await once(child.stdio[3]!, 'data')) as [Buffer];
  child.stdio[3]!.destroy();
  const { data } = JSON.parse(said.toString()) as { data: number };
  if (data <= 0) throw new Error(`conmon: ${said.toString()}`);
}

async function run([program, ...args]: readonly string[], log: number): Promise<void> {
  const child = spawn(program!, args, { stdio: ['ignore', log, log] });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}`);
}

/** Resolves when a file is there. */
function fileIn(folder: string, name: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(folder, () => {
      if (!existsSync(join(folder, name))) return;
      watcher.close();
      resolve();
    });
  });
}
