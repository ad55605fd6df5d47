import { spawn } from 'node:child_process';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { deferred, type ErrorCode, WherryError } from '@wherry/base';
import type { StartReport } from '../daemon.ts';
import type { ClusterConfig } from '../machine/cluster-config.ts';
import type { Home } from '../machine/config.ts';
import type { Phase } from '../machine/machine.ts';

/** Node's options for the daemon: a young generation that fits a machine at rest, and collections on request. */
const nodeOptions = ['--max-semi-space-size=8', '--expose-gc'];
/**
 * Buffers go back to the system when they are freed: the C library would keep those of each thread, some 50 MB after pulls of
 * large layers (mallopt(3)).
 */
const allocatorOptions = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: String(128 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(8 * 1024 * 1024),
};
/** Source maps are read as the modules are, wanted or not: 25 ms and 7 MB. */
const debugOptions = ['--enable-source-maps'];

export interface SpawnOptions {
  readonly home: Home;
  /** The file that runs the daemon. */
  readonly entry: string;
  readonly debug: boolean;
  readonly onPhase: (phase: Phase) => void;
}

/** The daemon's log file. */
export function daemonLog(config: ClusterConfig): string {
  return join(config.rootDirectory, 'log', 'daemon.log');
}

/**
 * Starts a cluster's daemon in the background and resolves once it is ready. When it fails, its own words
 * and code come back; when it dies, the name of its log file.
 */
export async function spawnDaemon(config: ClusterConfig, { home, entry, debug, onPhase }: SpawnOptions): Promise<void> {
  await mkdir(join(config.rootDirectory, 'log'), { recursive: true, mode: 0o700 });
  const log = await open(daemonLog(config), 'a', 0o600);
  const outcome = deferred();
  const child = spawn(
    process.execPath,
    [
      ...nodeOptions,
      ...(debug ? debugOptions : []),
      entry,
      'daemon',
      '--name',
      config.name,
      '--home',
      home.directory,
      '--run',
      home.runDirectory,
      ...(debug ? ['--debug'] : []),
    ],
    {
      detached: true,
      cwd: '/',
      stdio: ['ignore', log.fd, log.fd, 'pipe'],
      env: {
        PATH: process.env.PATH ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        LANG: 'C.UTF-8',
        ...allocatorOptions,
      },
    },
  );
  child.once('error', outcome.reject);
  const died = (code: number | null, signal: string | null): void =>
    outcome.reject(
      new WherryError(
        'internal',
        `the daemon ended with ${signal ?? `exit code ${code}`} before it was ready; see ${daemonLog(config)}`,
      ),
    );
  child.once('exit', died);
  const pipe = child.stdio[3] as Readable;
  const lines = createInterface({ input: pipe });
  lines.on('line', (line) => {
    const report = JSON.parse(line) as StartReport;
    if (report.type === 'phase') onPhase(report.phase);
    else if (report.type === 'ready') outcome.resolve();
    else outcome.reject(new WherryError(report.code as ErrorCode, report.message));
  });
  try {
    await outcome.promise;
  } finally {
    child.off('exit', died);
    lines.close();
    pipe.destroy();
    child.unref();
    await log.close();
  }
}
