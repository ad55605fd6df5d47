import { writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { codeOf, deferred, jsonLogger, messageOf, systemClock, systemRandom } from '@wherry/base';
import { controlSocket } from './cli/control-client.ts';
import { findCluster } from './machine/config.ts';
import { serveControl } from './machine/control-server.ts';
import { logWriter } from './machine/log-file.ts';
import type { Phase } from './machine/machine.ts';
import { returnIdleMemory } from './machine/memory.ts';
import { startMachine } from './machine/start.ts';

/** What the daemon tells its starter, one JSON object a line on descriptor 3. */
export type StartReport =
  | { readonly type: 'phase'; readonly phase: Phase }
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

const reportDescriptor = 3;

/** A report that nobody reads any more is no reason to fail: the starter may be gone. */
function report(message: StartReport): void {
  try {
    writeSync(reportDescriptor, JSON.stringify(message) + '\n');
  } catch {}
}

/**
 * Runs one cluster until SIGTERM, SIGINT or a stop over the control socket. Containers go on when it ends:
 * the next daemon takes them over.
 */
export async function runDaemon(
  home: { directory: string; runDirectory: string },
  name: string,
  level: 'debug' | 'info',
): Promise<number> {
  const log = jsonLogger(logWriter(2), level);
  // Libraries warn on the console.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const stopped = deferred<string>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopped.resolve(signal));
  process.on('SIGHUP', () => undefined);
  process.on('unhandledRejection', (error) =>
    log.error('unhandled rejection', { error: messageOf(error), stack: (error as Error)?.stack }),
  );
  try {
    const config = await findCluster(home, name);
    if (!config) throw new Error(`no cluster ${JSON.stringify(name)}`);
    await mkdir(config.runDirectory, { recursive: true, mode: 0o700 });
    const machine = await startMachine(config, {
      log,
      clock: systemClock,
      random: systemRandom,
      onPhase: (phase) => report({ type: 'phase', phase }),
    });
    const control = await serveControl(controlSocket(config), machine, { stop: () => stopped.resolve('stop'), log });
    report({ type: 'ready' });
    compileAtOnce();
    using _ = returnIdleMemory(systemClock, log);
    log.info('ready', { sinceStartMs: Math.round(performance.now()) });
    log.info('stopping', { because: await stopped.promise });
    await control[Symbol.asyncDispose]();
    await machine[Symbol.asyncDispose]();
    return 0;
  } catch (error) {
    log.error('the daemon failed', { error: messageOf(error), stack: (error as Error).stack });
    report({ type: 'failed', code: codeOf(error) ?? 'internal', message: messageOf(error) });
    return 1;
  }
}

/**
 * Makes simple machine code of functions when they are first called: a daemon mostly does what it has not done often enough
 * to be worth more, and the first `docker run`s take a tenth less of its processor time. Not before it is ready: most of
 * what runs until then runs once.
 */
function compileAtOnce(): void {
  setFlagsFromString('--always-sparkplug');
}
