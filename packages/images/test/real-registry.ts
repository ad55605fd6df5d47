import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
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
    const host = `127.0.0.1:${await freePort()}`;
    const config: Record<string, unknown> = {
      version: 0.1,
      log: { level: 'info', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(directory, 'data') }, delete: { enabled: true } },
      http: { addr: host, ...(tls && { tls }) },
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
    await new Promise<void>((resolve, reject) => {
      process.once('exit', () => reject(new Error(`docker-registry ended: ${seen.join('\n')}`)));
      lines.on('line', (line) => {
        seen.push(line);
        if (line.includes('listening on')) resolve();
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

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
