import { writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WherryError } from '@wherry/base';
import { type Child, closeQuietly, findProgram, openPipe, spawnProgram, streamOfDescriptor } from '@wherry/linux';
import { lastError } from './messages.ts';
import type { CommandLine } from './oci-runtime.ts';

export interface MonitorRequest {
  readonly id: string;
  readonly name: string;
  readonly bundle: string;
  readonly exitDirectory: string;
  readonly logPath: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  /** Keep standard input open when a client lets go of it. */
  readonly keepStdin: boolean;
  readonly runtime: CommandLine;
  /** Called with conmon's first process before it forks: to put it into its cgroup. */
  readonly place: (pid: number) => Promise<void>;
}

export interface Monitored {
  /** Of the container's first process. */
  readonly pid: number;
  readonly monitorPid: number;
}

/** A failure line holds the runtime's words; nothing that conmon writes is longer. */
const longestReport = 1 << 20;

/**
 * Starts conmon(8), which creates the container with the OCI runtime and owns its stdio, its log and
 * its exit code from then on. conmon itself returns before the runtime has: what became of it comes
 * through `_OCI_SYNCPIPE`.
 */
export async function startMonitor(request: MonitorRequest): Promise<Monitored> {
  const log = join(request.bundle, 'runtime.log');
  const monitorPidFile = join(request.bundle, 'monitor.pid');
  const { child, reports } = await launch(request, monitorArguments(request, log, monitorPidFile));
  const report = await firstLine(reports);
  await child.exited;
  const { data, message } = parseReport(report);
  if (data <= 0) {
    const reason =
      lastError(await readFile(log, 'utf8').catch(() => '')) ?? message ?? 'the monitor ended without a word';
    throw new WherryError('invalid', reason.trim());
  }
  const monitorPid = Number(await readFile(monitorPidFile, 'utf8'));
  return { pid: data, monitorPid };
}

/** conmon waits for a byte on its start pipe before it forks: so all of it is in the right cgroup. */
async function launch(
  request: MonitorRequest,
  args: readonly string[],
): Promise<{ readonly child: Child; readonly reports: number }> {
  const sync = openPipe();
  const start = openPipe();
  try {
    let child: Child;
    try {
      child = spawnProgram({
        path: findProgram('conmon'),
        args,
        env: { _OCI_SYNCPIPE: '3', _OCI_STARTPIPE: '4', PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
        workingDirectory: request.bundle,
        mountNamespace: request.runtime.mountNamespace,
        descriptors: { 3: sync.write, 4: start.read },
        newSession: true,
      });
    } finally {
      closeQuietly(sync.write, start.read);
    }
    await request.place(child.pid);
    writeSync(start.write, '\0');
    return { child, reports: sync.read };
  } catch (error) {
    closeQuietly(sync.read);
    throw error;
  } finally {
    closeQuietly(start.write);
  }
}

function monitorArguments(request: MonitorRequest, log: string, monitorPidFile: string): string[] {
  return [
    '--api-version=1',
    `--cid=${request.id}`,
    `--cuuid=${request.id}`,
    `--name=${request.name}`,
    `--bundle=${request.bundle}`,
    `--container-pidfile=${join(request.bundle, 'container.pid')}`,
    `--conmon-pidfile=${monitorPidFile}`,
    `--exit-dir=${request.exitDirectory}`,
    `--log-path=k8s-file:${request.logPath}`,
    '--full-attach',
    '--no-sync-log',
    `--runtime=${request.runtime.path}`,
    ...request.runtime.args.map((argument) => `--runtime-arg=${argument}`),
    `--runtime-arg=--log=${log}`,
    '--runtime-arg=--log-format=json',
    ...(request.tty ? ['--terminal'] : []),
    ...(request.stdin ? ['--stdin'] : []),
    ...(request.keepStdin ? ['--leave-stdin-open'] : []),
  ];
}

/** conmon keeps its end open for the container's life: the end of the line is the end of the report. */
async function firstLine(descriptor: number): Promise<string> {
  const stream = streamOfDescriptor(descriptor, { writable: false });
  let text = '';
  try {
    for await (const chunk of stream) {
      text += String(chunk);
      if (text.includes('\n') || text.length > longestReport) break;
    }
  } finally {
    stream.destroy();
  }
  return text;
}

function parseReport(line: string): { readonly data: number; readonly message: string | undefined } {
  try {
    const { data, message } = JSON.parse(line) as { data?: number; message?: string };
    return { data: data ?? -1, message };
  } catch {
    return { data: -1, message: line.trim() || undefined };
  }
}
