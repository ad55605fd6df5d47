import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { WherryError } from '@wherry/base';
import {
  bindMount,
  cgroupLayout,
  findProgram,
  listMounts,
  mountHolding,
  onlineProcessors,
  runProgram,
  setPropagation,
  unmountAll,
} from '@wherry/linux';
import type { EnginePaths } from '../state/paths.ts';

/**
 * crun refuses to run where cgroup controllers are on version 1 and the version 2 tree is mounted
 * beside them. There it gets a mount namespace of its own in which that tree is not mounted. The run
 * folder is a shared mount, so that root file systems mounted later appear inside. Other mounts stay peers of the
 * host's, where those are shared: what a container with `rshared` volumes mounts there travels out.
 */
export class RuntimeNamespace {
  /** Its pin; `undefined` when the runtime can run in ours. */
  readonly path: string | undefined;

  private constructor(path?: string) {
    this.path = path;
  }

  static async open(paths: EnginePaths): Promise<RuntimeNamespace> {
    const layout = cgroupLayout();
    if (layout.kind !== 'hybrid') return new RuntimeNamespace();
    const runDirectory = dirname(paths.runtimeNamespace);
    const pin = join(paths.runtimeNamespace, 'mnt');
    const mounts = listMounts();
    const mounted = (path: string): boolean => mounts.some((mount) => mount.mountPoint === path);
    if (!mounted(runDirectory)) {
      bindMount(runDirectory, runDirectory);
      setPropagation(runDirectory, 'shared');
    }
    if (!mounted(pin)) {
      mkdirSync(paths.runtimeNamespace, { recursive: true, mode: 0o700 });
      // A pin of a mount namespace must not travel into that namespace.
      if (!mounted(paths.runtimeNamespace)) bindMount(paths.runtimeNamespace, paths.runtimeNamespace);
      setPropagation(paths.runtimeNamespace, 'private');
      // Pinned aside until it is complete: a kill in between leaves nothing that looks whole.
      const staged = stagedPin(paths);
      unmountAll(staged);
      for (const file of [pin, staged]) closeSync(openSync(file, 'a', 0o600));
      const parent = mountHolding(dirname(layout.unified), mounts)?.mountPoint ?? '/';
      const makePrivate = [findProgram('mount'), '--make-private', parent];
      await stage(staged, (processor) => {
        const command = [findProgram('unshare'), `--mount=${staged}`, '--propagation', 'unchanged', ...makePrivate];
        return processor === undefined
          ? hide(layout.unified, 'unshare', command.slice(1))
          : hide(layout.unified, 'taskset', ['--cpu-list', String(processor), ...command]);
      });
      // Only now: below a private mount nobody else loses it.
      await hide(layout.unified, 'nsenter', [`--mount=${staged}`, '--', findProgram('umount'), layout.unified]);
      bindMount(staged, pin);
      unmountAll(staged);
    }
    return new RuntimeNamespace(pin);
  }

  /** Takes everything back. */
  static close(paths: EnginePaths): void {
    unmountAll(stagedPin(paths));
    unmountAll(join(paths.runtimeNamespace, 'mnt'));
    unmountAll(paths.runtimeNamespace);
    // Only then is the run folder a mount of ours.
    if (existsSync(paths.runtimeNamespace)) unmountAll(dirname(paths.runtimeNamespace));
  }
}

const stagedPin = (paths: EnginePaths): string => join(paths.runtimeNamespace, 'mnt.new');

/**
 * Makes the staged pin: on any processor, then on one after the other. A mount namespace can only be pinned from one
 * with a lower number (`mnt_ns_loop`, else EINVAL); since Linux 6.18 each processor takes these numbers from a batch
 * of its own (`gen_cookie_next`), so the younger namespace may have the lower one. On the processor that made ours it
 * has not.
 */
async function stage(staged: string, make: (processor: number | undefined) => Promise<void>): Promise<void> {
  let failure: unknown;
  for (const processor of [undefined, ...onlineProcessors()]) {
    try {
      await make(processor);
      return;
    } catch (error) {
      unmountAll(staged);
      failure ??= error;
    }
  }
  throw failure;
}

async function hide(unified: string, program: string, args: readonly string[]): Promise<void> {
  const result = await runProgram({ path: findProgram(program), args });
  if (result.exitCode !== 0)
    throw new WherryError(
      'unavailable',
      `cannot hide ${unified} from the OCI runtime: ${result.stderr.toString().trim()}`,
    );
}
