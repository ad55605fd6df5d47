import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isMountPoint, mountOverlay, unmountInBackground } from '@wherry/linux';
import type { OpenRootfs } from '@wherry/runtime';
import type { EngineContext } from './context.ts';
import { unmountImages } from './image-mounts.ts';
import { mountMappedOverlay } from './mapped-overlay.ts';
import type { ContainerRecord } from './state/records.ts';

/** Holder of a container's root from its start to its end. */
export const lifeHold = 'life';

/**
 * Root file systems of containers: the image's layers with a writable one on top. One is mounted while somebody holds
 * it: every mount of the machine makes each new mount namespace slower, so what does not run holds none.
 */
export class ContainerRoots {
  readonly #context: EngineContext;
  readonly #holders = new Map<string, Set<unknown>>();
  readonly #users = new Map<string, string | undefined>();
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
   * Mounts the root unless it is, until each holder has released it. Gives its path. Idempotent for one holder.
   * `users` is the user namespace to whose users the files belong; who only looks at them sees the owners of the disk
   * where nothing runs.
   */
  async hold(record: ContainerRecord, holder: unknown, users?: string): Promise<string> {
    const { id } = record;
    for (;;) {
      const unmounting = this.#unmounting.get(id);
      const held = this.#holders.has(id);
      if (unmounting !== undefined) await unmounting;
      else if (held && users !== undefined && this.#users.get(id) !== users) await this.#remount(id);
      else {
        // Nothing is awaited from the look at the unmounting on: the last holder may let go in between.
        if (!held) this.#mount(record, users);
        this.#holders.set(id, (this.#holders.get(id) ?? new Set()).add(holder));
        return this.#context.paths.rootfs(id);
      }
    }
  }

  /** Takes it from whoever looks at it: what runs goes first. */
  async #remount(id: string): Promise<void> {
    this.#holders.delete(id);
    await this.#unmount(id);
  }

  #mount({ id, lowerDirectories }: ContainerRecord, users: string | undefined): void {
    const { paths } = this.#context;
    this.make(id);
    const target = paths.rootfs(id);
    mkdirSync(target, { recursive: true, mode: 0o755 });
    if (users === undefined) mountOverlay({ lowerDirectories, ...this.layer(id), target });
    else mountMappedOverlay({ layer: paths.layer(id), lowerDirectories, users, target, folder: paths.container(id) });
    this.#users.set(id, users);
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
      [Symbol.dispose]: () => {
        this.release(record.id, holder).catch((error: unknown) =>
          this.#context.log.error('a root was not unmounted', { container: record.id, error }),
        );
      },
    };
  }

  /** Holds what a former daemon had mounted. False when it is not mounted (any more). */
  adopt(id: string, holder: unknown): boolean {
    if (!isMountPoint(this.#context.paths.rootfs(id))) return false;
    this.#holders.set(id, (this.#holders.get(id) ?? new Set()).add(holder));
    return true;
  }

  /** Unmounts what a former daemon had mounted and nobody holds now. */
  async clear(id: string): Promise<void> {
    if (!this.#holders.has(id)) await this.#unmount(id);
  }

  async #unmount(id: string): Promise<void> {
    this.#users.delete(id);
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
    await Promise.all([paths.layer(id), paths.container(id)].map((path) => rm(path, { recursive: true, force: true })));
  }
}
