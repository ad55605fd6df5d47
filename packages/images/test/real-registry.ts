import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { dockerRegistry, repository } from '@wherry/testkit';

/** The program; without it tests are skipped. */
export const realRegistry = dockerRegistry(repository);

export interface RealRegistryOptions {
  /** A folder of its own. */
  readonly directory: string;
  /** htpasswd lines (bcrypt). */
  readonly users?: string | undefined;
  readonly tls?: { readonly certificate: string; readonly key: string } | undefined;
}

/** Debian's docker-registry on loopback. */
export class RealRegistry implements AsyncDisposable {
  readonly host: string;
  readonly #process: ChildProcess;

  private constructor(host: string, process: ChildProcess) {
    this.host = host;
    this.#process = process;
  }

  static async start({ directory, users, tls }: RealRegistryOptions): Promise<RealRegistry> {
    mkdirSync(directory, { recursive: true });
    const config: Record<string, unknown> = {
      version: 0.1,
      log: { level: 'info', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(directory, 'data') }, delete: { enabled: true } },
      // Any port: it says which it has got.
      http: { addr: '127.0.0.1:0', ...(tls && { tls }) },
    };
    if (users !== undefined) {
      writeFileSync(join(directory, 'htpasswd'), users);
      config.auth = { htpasswd: { realm: 'test', path: join(directory, 'htpasswd') } };
    }
    // JSON is YAML.
    const path = join(directory, 'config.yml');
    writeFileSync(path, JSON.stringify(config).replace('"version":0.1', '"version":"0.1"'));
    const process = spawn(realRegistry!, ['serve', path], { stdio: ['ignore', 'ignore', 'pipe'] });
    const lines = createInterface({ input: process.stderr! });
    const seen: string[] = [];
    const host = await new Promise<string>((resolve, reject) => {
      process.once('exit', () => reject(new Error(`docker-registry ended: ${seen.join('\n')}`)));
      lines.on('line', (line) => {
        seen.push(line);
        const address = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
        if (address !== undefined) resolve(address);
      });
    });
    return new RealRegistry(host, process);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await ended;
  }
}
