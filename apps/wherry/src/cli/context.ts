import type { WriteStream } from 'node:tty';
import type { Home } from '../machine/config.ts';
import type { FlagSpec, ParsedFlags } from './flags.ts';

/** What a command gets from outside: nothing else in the command line reads the process. */
export interface CliContext {
  readonly stdout: WriteStream;
  readonly stderr: WriteStream;
  readonly stdin: NodeJS.ReadStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: Home;
  /** The program's own file, to start the daemon with. */
  readonly entry: string;
  readonly version: string;
}

/** One command of the command line. */
export interface Command {
  readonly name: string;
  readonly usage: string;
  readonly summary: string;
  readonly flags: readonly FlagSpec[];
  readonly hidden?: boolean;
  /** Gives the exit code. */
  run(flags: ParsedFlags, context: CliContext): Promise<number>;
}

export const nameFlag: FlagSpec = {
  name: 'name',
  short: 'n',
  type: 'string',
  usage: 'name of the cluster',
  default: 'wherry',
};
