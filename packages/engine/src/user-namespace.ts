import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WherryError } from '@wherry/base';
import {
  bindMount,
  closeQuietly,
  findProgram,
  insideNamespaces,
  openPipe,
  raiseLoopback,
  removePinnedNamespace,
  type SwitchableNamespace,
  setHostname,
  spawnProgram,
  streamOfDescriptor,
} from '@wherry/linux';
import type { IdMapping, SandboxNamespaceModes } from '@wherry/runtime';

/**
 * Pins a user namespace with these mappings, and namespaces of these kinds that belong to it: to make one, a process
 * must leave its own users, which a thread of this one cannot (user_namespaces(7)). util-linux' `unshare` does so and
 * becomes a `cat` that lives until they are pinned.
 */
export async function startUserNamespace(
  directory: string,
  kinds: readonly SwitchableNamespace[],
  { uidMappings, gidMappings }: NonNullable<SandboxNamespaceModes['user']>,
  hostname: string,
): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const input = openPipe();
  const output = openPipe();
  const flags = kinds.map((kind) => `--${kind}`);
  let child: ReturnType<typeof spawnProgram>;
  try {
    child = spawnProgram({
      path: findProgram('unshare'),
      args: ['--user', ...flags, '--', findProgram('cat'), '/proc/self/stat', '-'],
      descriptors: { 0: input.read, 1: output.write },
      newSession: true,
    });
  } catch (error) {
    closeQuietly(input.write, output.read);
    throw error;
  } finally {
    closeQuietly(input.read, output.write);
  }
  const pinned: string[] = [];
  try {
    await firstBytes(output.read);
    writeFileSync(`/proc/${child.pid}/uid_map`, mapText(uidMappings));
    writeFileSync(`/proc/${child.pid}/gid_map`, mapText(gidMappings));
    for (const kind of ['user', ...kinds]) {
      const path = join(directory, kind);
      closeSync(openSync(path, 'a', 0o600));
      pinned.push(path);
      bindMount(`/proc/${child.pid}/ns/${kind}`, path);
    }
    insideNamespaces(Object.fromEntries(kinds.map((kind) => [kind, join(directory, kind)])), () => {
      if (kinds.includes('uts')) setHostname(hostname);
      if (kinds.includes('net')) raiseLoopback();
    });
  } catch (error) {
    for (const path of pinned) removePinnedNamespace(path);
    throw new WherryError('invalid', 'the user namespace could not be made', { cause: error });
  } finally {
    child.kill('SIGKILL');
    closeQuietly(input.write);
    await child.exited;
  }
}

/** What `cat` says first says that it runs inside; an end without it that it could not. */
async function firstBytes(descriptor: number): Promise<void> {
  const stream = streamOfDescriptor(descriptor, { writable: false });
  const arrived = await new Promise<boolean>((resolve) => {
    stream
      .once('data', () => resolve(true))
      .once('end', () => resolve(false))
      .once('error', () => resolve(false));
  });
  stream.destroy();
  if (!arrived) throw new WherryError('unavailable', 'unshare(1) could not make a user namespace');
}

/** user_namespaces(7), `/proc/pid/uid_map`. */
const mapText = (mappings: readonly IdMapping[]): string =>
  mappings.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`).join('');
