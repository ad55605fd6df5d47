import { WherryError } from '@wherry/base';
import { findProgram, runProgram } from '@wherry/linux';
import type { Container } from '../containers/container.ts';
import { type DockerContext, tell } from '../containers/context.ts';

const standard = '-ef';
/** Bytes of ps' output: a machine has some thousand processes. */
const longest = 16 << 20;

/** `docker top`: the machine's `ps`, and of what it prints the container's processes. */
export async function topOf(
  context: DockerContext,
  container: Container,
  psArguments: string,
): Promise<{ readonly Titles: readonly string[]; readonly Processes: readonly (readonly string[])[] }> {
  checkArguments(psArguments);
  const args = psArguments.trim() === '' ? [standard] : psArguments.trim().split(/\s+/);
  if (!container.alive) throw new WherryError('conflict', `container ${container.id} is not running`);
  const pids = new Set(await context.engine.containerProcesses(container.id));
  let run = await ps([...args, '-q', [...pids].join(',')]);
  // Not every selection goes with a list of processes: `-e -q` does not.
  if (run.exitCode !== 0) run = await ps(args);
  if (run.exitCode !== 0)
    throw new WherryError('internal', `ps: ${firstLine(run.stderr) || `exit status ${run.exitCode}`}`);
  const table = parsePs(run.stdout.toString('utf8'), pids);
  tell(context, container, 'top');
  return table;
}

function ps(args: readonly string[]): ReturnType<typeof runProgram> {
  return runProgram({ path: findProgram('ps'), args, env: { LC_ALL: 'C' }, limit: longest, timeout: 30_000 });
}

function firstLine(text: Buffer): string {
  return text.toString('utf8').trim().split('\n')[0] ?? '';
}

/** Another column with the title PID could make others' processes look like the container's (moby's check). */
function checkArguments(text: string): void {
  for (const [, column = '', title] of text.matchAll(/(\S*?)=\s*(PID\S*)/g))
    if (column.replace(/^-*o/, '') !== 'pid')
      throw new WherryError('invalid', `specifying "${column}=${title}" is not allowed`);
}

/** Keeps the header, and of the lines those of the processes. */
export function parsePs(
  output: string,
  pids: ReadonlySet<number>,
): { readonly Titles: readonly string[]; readonly Processes: readonly (readonly string[])[] } {
  const [header = '', ...lines] = output.split('\n');
  const titles = header.trim().split(/\s+/);
  const column = titles.indexOf('PID');
  if (column < 0) throw new WherryError('internal', "Couldn't find PID field in ps output");
  const rows = lines.flatMap((line) => {
    const words = line.trim().split(/\s+/);
    if (!pids.has(Number(words[column]))) return [];
    // The last column takes the rest of the line.
    return [[...words.slice(0, titles.length - 1), words.slice(titles.length - 1).join(' ')]];
  });
  return { Processes: rows, Titles: titles };
}
