import { request } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { deferred, type ErrorCode, errnoOf, WherryError } from '@wherry/base';
import type { ClusterConfig } from '../machine/cluster-config.ts';
import type { MachineStatus } from '../machine/machine.ts';

/** Where a cluster's daemon listens for the command line. */
export function controlSocket(config: ClusterConfig): string {
  return join(config.runDirectory, 'wherry.sock');
}

/** Calls a running daemon. `unavailable` when none answers; a daemon's refusal keeps its code. */
async function call<T>(config: ClusterConfig, method: string, path: string, body?: Readable): Promise<T> {
  const { promise, resolve, reject } = deferred<T>();
  const outgoing = request({ socketPath: controlSocket(config), method, path }, (response) => {
    const parts: Buffer[] = [];
    response.on('data', (part: Buffer) => parts.push(part));
    response.on('error', reject);
    response.on('end', () => {
      const answer = JSON.parse(Buffer.concat(parts).toString()) as T & { code: ErrorCode; message: string };
      if (response.statusCode === 200) resolve(answer);
      else reject(new WherryError(answer.code, answer.message));
    });
  });
  outgoing.on('error', (error) => {
    const absent = ['ENOENT', 'ECONNREFUSED'].includes(errnoOf(error) ?? '');
    reject(
      absent
        ? new WherryError('unavailable', `cluster ${JSON.stringify(config.name)} is not running`, { cause: error })
        : error,
    );
  });
  if (body) pipeline(body, outgoing).catch(reject);
  else outgoing.end();
  return promise;
}

/** The daemon's status, or `undefined` when it does not run. */
export async function daemonStatus(config: ClusterConfig): Promise<MachineStatus | undefined> {
  try {
    return await call<MachineStatus>(config, 'GET', '/status');
  } catch (error) {
    if (error instanceof WherryError && error.code === 'unavailable') return undefined;
    throw error;
  }
}

/** Sends an image archive; gives the names of the images in it. */
export async function sendImages(config: ClusterConfig, archive: Readable): Promise<readonly string[]> {
  return (await call<{ images: string[] }>(config, 'POST', '/images', archive)).images;
}

/** Ends docker's containers as gently as each of them asks for. */
export async function stopContainers(config: ClusterConfig): Promise<void> {
  await call(config, 'POST', '/containers/stop');
}

export async function stopDaemon(config: ClusterConfig): Promise<void> {
  await call(config, 'POST', '/stop');
}
