import { chmod, chown, lstat, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { errnoOf, WherryError } from '@wherry/base';
import { Router } from './http/router.ts';
import type { EngineApiOptions } from './options.ts';
import { routesOf } from './routes.ts';
import { ApiServer } from './server.ts';

/** The Docker Engine API. Disposing it ends every request; what it was made of stays. */
export interface EngineApi extends AsyncDisposable {
  /** The server: not listening until `listen`; tests may have it listen elsewhere. */
  readonly server: Server;
  /**
   * Serves on a unix socket of root's (0660), in the place of one that nobody serves any more. Throws `conflict` when
   * somebody does, or when there is another kind of file. `group`: the number of a group that may use it, too.
   */
  listen(socketPath: string, options?: { readonly group?: number | undefined }): Promise<void>;
}

/** Serves the Docker Engine API over the engine's parts. */
export async function createEngineApi(options: EngineApiOptions): Promise<EngineApi> {
  const { version } = await options.facts();
  const { routes, dispose } = await routesOf(options);
  const serverName = `Wherry/${version} (linux)`;
  const api = new ApiServer({ router: new Router(routes), serverName, log: options.log, onClient: options.onClient });
  return {
    server: api.server,
    listen: (socketPath, { group = 0 } = {}) => listenOn(api.server, socketPath, group),
    async [Symbol.asyncDispose]() {
      await api.stop();
      await dispose();
    },
  };
}

async function listenOn(server: Server, socketPath: string, group: number): Promise<void> {
  await removeStaleSocket(socketPath);
  // Nobody else may connect before the owner is set: connecting takes the right to write (unix(7)). Of other threads' files,
  // which are under the same mask, nothing changes where it is the usual one.
  const mask = process.umask() | 0o022;
  const before = process.umask(mask);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(socketPath, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } finally {
    process.umask(before);
  }
  if (process.getuid?.() === 0) await chown(socketPath, 0, group);
  await chmod(socketPath, 0o660);
}

async function removeStaleSocket(path: string): Promise<void> {
  try {
    const status = await lstat(path);
    if (!status.isSocket())
      throw new WherryError('conflict', `${path} is there and is no socket: remove it, or name another`);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  const served = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (served) throw new WherryError('conflict', `somebody serves ${path} already`);
  await rm(path, { force: true });
}
