import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

/** How a program that a test ran ended. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that a test talks to while it runs. */
export interface Running extends AsyncDisposable {
  readonly pid: number;
  /** Standard output and standard error so far, as they came. */
  readonly text: string;
  /** Resolves with the match once the text (from the end of the match before) has it; fails after `timeout` ms (20 s). */
  waitFor(pattern: string | RegExp, timeout?: number): Promise<RegExpExecArray>;
  write(text: string): void;
  /** Closes its standard input. */
  end(): void;
  kill(signal?: NodeJS.Signals): void;
  readonly exited: Promise<Ran>;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  /** Runs it on a terminal of its own, by script(1). The terminal's name is the first line of the text. */
  readonly tty?: boolean | undefined;
}

/** Starts a program to talk to. Disposing it kills it and waits for its end. */
export function startProgram(
  program: string,
  args: readonly string[],
  { env, cwd, tty = false }: StartOptions = {},
): Running {
  const [path, argv] = tty
    ? ['script', ['-qefc', `tty; exec ${[program, ...args].map(quoted).join(' ')}`, '/dev/null']]
    : [program, args];
  const child = spawn(path, argv, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  return new Started(child, `${program} ${args.join(' ')}`);
}

class Started implements Running {
  readonly exited: Promise<Ran>;
  text = '';
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #name: string;
  readonly #listeners = new Set<() => void>();
  #seen = 0;
  #over = false;

  constructor(child: ChildProcessWithoutNullStreams, name: string) {
    this.#child = child;
    this.#name = name;
    const parts = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const)
      child[stream].setEncoding('utf8').on('data', (part: string) => {
        parts[stream] += part;
        this.text += part;
        this.#tell();
      });
    child.stdin.on('error', () => undefined);
    this.exited = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        this.#over = true;
        resolve({ code: code ?? 128, ...parts });
        this.#tell();
      });
    });
    this.exited.catch(() => undefined);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  waitFor(pattern: string | RegExp, timeout = 20_000): Promise<RegExpExecArray> {
    const expression = typeof pattern === 'string' ? new RegExp(escaped(pattern)) : pattern;
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
      };
      const fail = (why: string): void => {
        stop();
        reject(new Error(`${this.#name}: ${why} without ${expression} in:\n${this.text.slice(this.#seen)}`));
      };
      const look = (): void => {
        const match = expression.exec(this.text.slice(this.#seen));
        if (match) {
          stop();
          this.#seen += match.index + match[0].length;
          resolve(match);
        } else if (this.#over) fail('ended');
      };
      const timer = setTimeout(() => fail(`${timeout} ms`), timeout);
      this.#listeners.add(look);
      look();
    });
  }

  write(text: string): void {
    this.#child.stdin.write(text);
  }

  end(): void {
    this.#child.stdin.end();
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    if (!this.#over) this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill('SIGKILL');
    await this.exited.catch(() => undefined);
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
