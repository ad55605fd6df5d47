import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { KeyedMutex, removeTree } from '@wherry/base';
import { isMountRoot, mountOverlay, removePinnedNamespace, unmountInBackground } from '@wherry/linux';
import type { OpenRootfs, UserMappings } from '@wherry/runtime';
import type { EngineContext } from './context.ts';
import { unmountImages } from './image-mounts.ts';
import { mountMappedOverlay } from './mapped-overlay.ts';
import type { ContainerRecord } from './state/records.ts';
import { startUserNamespace } from './user-namespace.ts';

/** Holder of a container's root from its start to its end. */
export const lifeHold = 'life';

/**
 * Root file systems of containers: the image's layers with a writable one on top. One is mounted while somebody holds
 * it: every mount of the machine makes each new mount namespace slower, so what does not run holds none.
 */
export class ContainerRoots {
  readonly #context: EngineContext;
  readonly #holders = new Map<string, Set<unknown>>();
  readonly #locks = new KeyedMutex();
  readonly #unmounting = new Map<string, Promise<void>>();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** Makes the writable layer. Idempotent. */
  make(id: string): void {
    for (const folder of Object.values(this.layer(id))) mkdirSync(folder, { recursive: true, mode: 0o755 });
  }

  layer(id: string): { readonly upperDirectory: string; readonly workDirectory: string } {
    const layer = this.#context.paths.layer(id);
    return { upperDirectory: join(layer, 'upper'), workDirectory: join(layer, 'work') };
  }

  /**
   * Mounts the root unless it is, until each holder has released it. Gives its path. Idempotent for one holder. With
   * users of its own (`namespace` where there is one already) its files belong to them, whoever looks.
   */
  async hold(record: ContainerRecord, holder: unknown, namespace?: string): Promise<string> {
    const { id } = record;
    return await this.#locks.run(id, async () => {
      // Nothing is awaited from the look at the unmounting on: the last holder may let go in between.
      for (let under = this.#unmounting.get(id); under !== undefined; under = this.#unmounting.get(id)) await under;
      if (!this.#holders.has(id)) await this.#mount(record, namespace);
      this.#holders.set(id, (this.#holders.get(id) ?? new Set()).add(holder));
      return this.#context.paths.rootfs(id);
    });
  }

  #usersOf({ sandboxId }: ContainerRecord): UserMappings | undefined {
    return this.#context.sandboxes.get(sandboxId)?.config.namespaces.user;
  }

  async #mount(record: ContainerRecord, namespace: string | undefined): Promise<void> {
    const { id, lowerDirectories } = record;
    const { paths } = this.#context;
    this.make(id);
    const target = paths.rootfs(id);
    mkdirSync(target, { recursive: true, mode: 0o755 });
    const users = this.#usersOf(record);
    if (users === undefined) {
      mountOverlay({ lowerDirectories, ...this.layer(id), target });
      return;
    }
    const request = { layer: paths.layer(id), lowerDirectories, target, folder: paths.container(id) };
    if (namespace !== undefined) mountMappedOverlay({ ...request, users: namespace });
    else await this.#withUsers(id, users, (path) => mountMappedOverlay({ ...request, users: path }));
  }

  /** Mounts are mapped by a user namespace, which they hold themselves once they are made. */
  async #withUsers(id: string, users: UserMappings, work: (path: string) => void): Promise<void> {
    const folder = join(this.#context.paths.container(id), 'users');
    await startUserNamespace(folder, [], users, '');
    try {
      work(join(folder, 'user'));
    } finally {
      removePinnedNamespace(join(folder, 'user'));
    }
  }

  /** Resolves when the root is unmounted, if this was its last holder. Idempotent. */
  async release(id: string, holder: unknown): Promise<void> {
    const holders = this.#holders.get(id);
    if (holders?.delete(holder) !== true || holders.size > 0) return;
    this.#holders.delete(id);
    await this.#unmount(id);
  }

  /** Mounts it for somebody who looks at it, until that is disposed. */
  async open(record: ContainerRecord): Promise<OpenRootfs> {
    const holder = Symbol(record.id);
    const path = await this.hold(record, holder);
    return {
      path,
      processRoot: record.process === undefined ? undefined : `/proc/${record.process.pid}/root`,
      upperDirectory: this.layer(record.id).upperDirectory,
      lowerDirectories: record.lowerDirectories,
      users: this.#usersOf(record),
      [Symbol.dispose]: () => {
        this.release(record.id, holder).catch((error: unknown) =>
          this.#context.log.error('a root was not unmounted', { container: record.id, error }),
        );
      },
    };
  }

  /** Holds what a former daemon had mounted. False when it is not mounted (any more). */
  adopt(id: string, holder: unknown): boolean {
    if (!isMountRoot(this.#context.paths.rootfs(id))) return false;
    this.#holders.set(id, (this.#holders.get(id) ?? new Set()).add(holder));
    return true;
  }

  /** Unmounts what a former daemon had mounted and nobody holds now. */
  async clear(id: string): Promise<void> {
    if (!this.#holders.has(id)) await this.#unmount(id);
  }

  async #unmount(id: string): Promise<void> {
    unmountImages(this.#context, id);
    const before = this.#unmounting.get(id);
    if (before !== undefined) return await before;
    const work = unmountInBackground(this.#context.paths.rootfs(id)).finally(() => this.#unmounting.delete(id));
    this.#unmounting.set(id, work);
    await work;
  }

  /** Takes back all that `hold` and a start may have made, and the writable layer, whoever holds it. Idempotent. */
  async remove(id: string): Promise<void> {
    this.#holders.delete(id);
    await this.#unmount(id);
    const { paths } = this.#context;
    await Promise.all([paths.layer(id), paths.container(id)].map(removeTree));
  }
}
