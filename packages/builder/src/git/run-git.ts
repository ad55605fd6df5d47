import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { cancelled, codeOf, WherryError } from '@wherry/base';
import { findProgram, openPipe, spawnProgram, streamOfDescriptor } from '@wherry/linux';

const { signals } = constants;

/** What git says is cut here (bytes). */
const longestOutput = 64 * 1024;

/**
 * Settings against what a repository, its submodules or its server might make git do: transports that run programs or
 * read the machine's files (`ext::`, `file://`, git-config(1) "protocol.allow"), hooks, and questions at a terminal.
 */
const settings = [
  'protocol.allow=never',
  'protocol.http.allow=always',
  'protocol.https.allow=always',
  'protocol.git.allow=always',
  'core.hooksPath=/dev/null',
  'core.fsmonitor=false',
  'core.protectNTFS=true',
  'core.askPass=true',
  'credential.helper=',
  'http.followRedirects=initial',
  'http.lowSpeedLimit=1000',
  'http.lowSpeedTime=60',
  'gc.auto=0',
  'advice.detachedHead=false',
].flatMap((setting) => ['-c', setting]);

/** Nothing of the machine's or its user's configuration counts. */
const environment = (home: string): Readonly<Record<string, string>> => ({
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: home,
  LC_ALL: 'C',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_ALLOW_PROTOCOL: 'http:https:git',
  GIT_TERMINAL_PROMPT: '0',
  GIT_PROTOCOL_FROM_USER: '0',
  GIT_ATTR_NOSYSTEM: '1',
});

export interface GitOptions {
  readonly signal: AbortSignal;
  /** The largest file that it may write (bytes): a pack, or one of the repository's (setrlimit(2), RLIMIT_FSIZE). */
  readonly largestFile: number;
}

export interface GitResult {
  readonly exitCode: number;
  /** Of both its outputs. */
  readonly output: string;
}

/**
 * Runs the machine's git in a folder, without a shell. Throws `unsupported` where it is not installed, `cancelled`,
 * `tooLarge`.
 */
export async function runGit(
  folder: string,
  args: readonly string[],
  { signal, largestFile }: GitOptions,
): Promise<GitResult> {
  signal.throwIfAborted();
  const pipe = openPipe();
  const child = startIn(folder, args, largestFile, pipe);
  let isOver = false;
  child.exited.finally(() => (isOver = true)).catch(() => undefined);
  const stop = (): void => {
    // What git runs itself is in its group, whose number is git's as long as git is not reaped.
    if (!isOver) process.kill(-child.pid, 'SIGKILL');
  };
  signal.addEventListener('abort', stop, { once: true });
  const output = streamOfDescriptor(pipe.read, { writable: false });
  try {
    let said = '';
    for await (const piece of output as AsyncIterable<Buffer>) {
      if (said.length < longestOutput) said += piece.toString();
    }
    const { exitCode } = await child.exited;
    if (signal.aborted) throw cancelled(signal);
    if (exitCode !== 0 && metItsLimit(exitCode, said))
      throw new WherryError('tooLarge', `a git repository with a file of more than ${largestFile} bytes`);
    return { exitCode, output: said.trim() };
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
    output.destroy();
    await child.exited;
  }
}

/** It, or a program that it ran, was ended by SIGXFSZ, or had its signal ignored. */
function metItsLimit(exitCode: number, said: string): boolean {
  return (
    exitCode === 128 + signals.SIGXFSZ ||
    said.includes(`died of signal ${signals.SIGXFSZ}`) ||
    said.includes('File too large')
  );
}

function startIn(
  folder: string,
  args: readonly string[],
  largestFile: number,
  pipe: ReturnType<typeof openPipe>,
): ReturnType<typeof spawnProgram> {
  try {
    return spawnProgram({
      path: findProgram('prlimit'),
      args: [`--fsize=${largestFile}`, findProgram('git'), ...settings, ...args],
      env: environment(folder),
      workingDirectory: folder,
      descriptors: { 1: pipe.write, 2: pipe.write },
      newSession: true,
    });
  } catch (error) {
    closeSync(pipe.read);
    if (codeOf(error) !== 'notFound') throw error;
    throw new WherryError('unsupported', 'unable to find \'git\': exec: "git": executable file not found in $PATH', {
      cause: error,
    });
  } finally {
    closeSync(pipe.write);
  }
}
