import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { buildSync } from 'esbuild';

const repository = join(import.meta.dirname, '../../..');

/** Bundles the writer into `folder` as plain JavaScript and gives its path. */
export function buildWriter(folder: string): string {
  mkdirSync(folder, { recursive: true });
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'));
  const outfile = join(folder, 'writer.mjs');
  buildSync({
    entryPoints: [join(import.meta.dirname, 'writer.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    external: ['lmdb'],
    logLevel: 'error',
  });
  return outfile;
}

/** A started writer, with the lines that it has printed so far. */
export interface WriterProcess {
  readonly child: ChildProcess;
  readonly lines: string[];
  readonly closed: Promise<void>;
  /** Resolves when it has printed `count` lines or ended. */
  printed(count: number): Promise<void>;
}

export function startWriter(command: readonly string[]): WriterProcess {
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  let rest = '';
  const closed = new Promise<void>((resolve) => child.on('close', () => resolve()));
  child.stdout!.setEncoding('utf8');
  child.stdout!.on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop()!;
    lines.push(...parts);
  });
  return {
    child,
    lines,
    closed,
    async printed(count) {
      let ended = false;
      void closed.then(() => {
        ended = true;
      });
      while (lines.length < count && !ended) {
        await Promise.race([new Promise((resolve) => child.stdout!.once('data', resolve)), closed]);
      }
    },
  };
}
