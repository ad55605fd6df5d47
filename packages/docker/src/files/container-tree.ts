import { type BigIntStats, closeSync, constants, fstatSync, openSync } from 'node:fs';
import { posix } from 'node:path';
import { codeOf, errnoOf, fsPath, readLinkSync, WherryError } from '@wherry/base';
import type { ContainerView, ViewMount } from './container-files.ts';

const pathOnly = 0o10000000; // O_PATH
const mostLinks = 255;
const longestPath = 4096;

/** A file of a container, held by a descriptor that is good for its path (`/proc/self/fd/N`) and fstat(2) alone. */
export interface Located extends Disposable {
  readonly descriptor: number;
  readonly status: BigIntStats;
  /** Where it is in the container, links resolved; `/` for the root. */
  readonly path: string;
  /** A link's target. */
  readonly linkTarget: string | undefined;
}

interface Step {
  readonly descriptor: number;
  readonly status: BigIntStats;
  readonly path: string;
}

/**
 * A container's files as docker shows them, running or not: its root with what it was asked to mount. What its processes
 * see of the kernel's (`/proc`, `/sys`, `/dev`), or mounted themselves, is not in it.
 * Paths are walked step by step by descriptors, as the kernel would below a chroot: links and `..` lead nowhere out of
 * it, whatever the container changes meanwhile.
 */
export class ContainerTree implements Disposable {
  readonly #root: Step;
  /** By path in the container, links resolved. */
  readonly #mounts = new Map<string, ViewMount>();
  readonly #readOnly: boolean;

  constructor(view: ContainerView) {
    const descriptor = openSync(view.root.path, pathOnly | constants.O_DIRECTORY);
    this.#root = { descriptor, status: fstatSync(descriptor, { bigint: true }), path: '' };
    this.#readOnly = view.readOnly;
    try {
      for (const mount of view.mounts) this.#mounts.set(this.#mountPoint(mount), mount);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  #mountPoint({ containerPath }: ViewMount): string {
    try {
      return this.target(containerPath);
    } catch (error) {
      // Links that lead nowhere: nothing can be mounted there.
      if (codeOf(error) === undefined) throw error;
      return posix.resolve('/', containerPath);
    }
  }

  /**
   * Finds a file. A link at the end is followed with `follow`, or when a slash or dot comes after it. Throws `notFound`;
   * `internal` in the words of lstat(2) for other ways that lead nowhere.
   */
  locate(path: string, { follow }: { readonly follow: boolean }): Located {
    const found = this.#walk(path, follow);
    if (typeof found === 'string') throw new WherryError('notFound', `lstat ${path}: no such file or directory`);
    return found;
  }

  /** Where a path leads to, all links resolved, as far as there is something. */
  target(path: string): string {
    const found = this.#walk(path, true);
    if (typeof found === 'string') return found;
    found[Symbol.dispose]();
    return found.path;
  }

  /** The path by which an entry of a folder is reached: the mount's own where something is mounted there. */
  entry(folder: Pick<Located, 'descriptor' | 'path'>, name: string): string {
    const mount = this.#mounts.get(join(folder.path === '/' ? '' : folder.path, name));
    return mount?.hostPath ?? `/proc/self/fd/${folder.descriptor}/${name}`;
  }

  isMount(path: string): boolean {
    return this.#mounts.has(path);
  }

  /** Throws `forbidden` where docker lets nobody write. */
  checkWritable(path: string): void {
    let deepest: ViewMount | undefined;
    let length = 0;
    for (const [at, mount] of this.#mounts) {
      const within = path === at || path.startsWith(`${at}/`);
      if (within && at.length >= length) [deepest, length] = [mount, at.length];
    }
    if (deepest?.readOnly === true) throw new WherryError('forbidden', 'mounted volume is marked read-only');
    if (deepest === undefined && this.#readOnly)
      throw new WherryError('forbidden', 'container rootfs is marked read-only');
  }

  [Symbol.dispose](): void {
    closeSync(this.#root.descriptor);
  }

  /** What is at a path, or the path of what is not there. */
  #walk(path: string, follow: boolean): Located | string {
    if (path.length > longestPath) throw failed(path, 'file name too long');
    const steps: Step[] = [this.#root];
    const todo = parts(path).reverse();
    let linkTarget: string | undefined;
    let links = 0;
    try {
      for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
        const here = steps.at(-1)!;
        if (!here.status.isDirectory()) throw failed(path, 'not a directory');
        if (part === '.') continue;
        if (part === '..') {
          if (steps.length > 1) closeSync(steps.pop()!.descriptor);
          continue;
        }
        const next = this.#step(here, part);
        if (next === undefined) return posix.resolve('/', join(here.path, part), ...todo.reverse());
        steps.push(next);
        if (!next.status.isSymbolicLink()) continue;
        const link = linkOf(here, part);
        if (link === undefined) return join(here.path, part);
        if (todo.length === 0 && !follow) {
          linkTarget = link;
          continue;
        }
        if (++links > mostLinks) throw new WherryError('internal', `evalSymlinksInScope: too many links in ${path}`);
        closeSync(steps.pop()!.descriptor);
        if (link.startsWith('/')) for (const { descriptor } of steps.splice(1)) closeSync(descriptor);
        todo.push(...parts(link).reverse());
      }
      return this.#located(steps, linkTarget);
    } finally {
      for (const { descriptor } of steps.slice(1)) closeSync(descriptor);
    }
  }

  /** Takes the last step out of `steps`: its descriptor is the result's. */
  #located(steps: Step[], linkTarget: string | undefined): Located {
    const { path, status } = steps.at(-1)!;
    const descriptor =
      steps.length > 1
        ? steps.pop()!.descriptor
        : openSync(`/proc/self/fd/${this.#root.descriptor}/.`, pathOnly | constants.O_DIRECTORY);
    return {
      descriptor,
      status,
      path: path === '' ? '/' : path,
      linkTarget,
      [Symbol.dispose]: () => closeSync(descriptor),
    };
  }

  #step(here: Step, name: string): Step | undefined {
    const path = join(here.path, name);
    const mount = this.#mounts.get(path);
    try {
      const descriptor =
        mount === undefined
          ? openSync(fsPath(`/proc/self/fd/${here.descriptor}/${name}`), pathOnly | constants.O_NOFOLLOW)
          : openSync(mount.hostPath, pathOnly);
      return { descriptor, status: fstatSync(descriptor, { bigint: true }), path };
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw failed(path, errnoOf(error) === 'ENAMETOOLONG' ? 'file name too long' : String(errnoOf(error)));
    }
  }
}

function linkOf(folder: Step, name: string): string | undefined {
  try {
    return readLinkSync(`/proc/self/fd/${folder.descriptor}/${name}`);
  } catch (error) {
    // Replaced meanwhile.
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'EINVAL') return undefined;
    throw error;
  }
}

/** Names of a path. A slash at the end stands for the folder itself, and follows a link as the kernel does. */
function parts(path: string): string[] {
  if (path.includes('\0')) throw new WherryError('invalid', 'a path holds a zero byte');
  const names = path.split('/').filter((name) => name !== '');
  return path.endsWith('/') && names.length > 0 ? [...names, '.'] : names;
}

function join(folder: string, name: string): string {
  return `${folder}/${name}`;
}

function failed(path: string, reason: string): WherryError {
  return new WherryError('internal', `lstat ${path}: ${reason}`);
}
