import { closeSync, openSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { checked, libc } from '../libc.ts';
import { namespaceFlags, type SwitchableNamespace } from './kinds.ts';

const unshareCall = libc.func('int unshare(int flags)');
const setnsCall = libc.func('int setns(int fd, int kind)');

let warm: Promise<unknown> | undefined;

/**
 * Starts libuv's pool threads. A thread is born in the namespaces of the one that creates it, so this
 * must have resolved before the first call of `insideNamespaces` or `insideNewNamespaces`.
 */
export async function warmThreadPool(): Promise<void> {
  warm ??= stat('/proc/self');
  await warm;
}

/**
 * Runs `work` on this thread inside the namespaces at these paths and comes back. `work` must be
 * synchronous: everything awaited would run in the host's namespaces, or worse, leave another
 * callback inside. Sockets and descriptors opened inside keep their namespace.
 */
export function insideNamespaces<T>(paths: Readonly<Partial<Record<SwitchableNamespace, string>>>, work: () => T): T {
  const targets = (Object.entries(paths) as [SwitchableNamespace, string][]).map(([kind, path]) => ({
    kind,
    descriptor: openSync(path, 'r'),
  }));
  try {
    return andBack(
      targets.map(({ kind }) => kind),
      () => {
        for (const { kind, descriptor } of targets)
          checked(setnsCall(descriptor, namespaceFlags[kind]) as number, `enter the ${kind} namespace`);
        return work();
      },
    );
  } finally {
    for (const { descriptor } of targets) closeSync(descriptor);
  }
}

/** Runs `work` on this thread inside a network namespace; see `insideNamespaces`. */
export function insideNetworkNamespace<T>(path: string, work: () => T): T {
  return insideNamespaces({ net: path }, work);
}

/** Runs `work` on this thread inside fresh namespaces, which end with the last thing that holds them. */
export function insideNewNamespaces<T>(kinds: readonly SwitchableNamespace[], work: () => T): T {
  return andBack(kinds, () => {
    const flags = kinds.reduce((sum, kind) => sum | namespaceFlags[kind], 0);
    checked(unshareCall(flags) as number, `create namespaces (${kinds.join(', ')})`);
    return work();
  });
}

function andBack<T>(kinds: readonly SwitchableNamespace[], work: () => T): T {
  const homes: { kind: SwitchableNamespace; descriptor: number }[] = [];
  try {
    for (const kind of kinds) homes.push({ kind, descriptor: openSync(`/proc/thread-self/ns/${kind}`, 'r') });
    try {
      return work();
    } finally {
      for (const { kind, descriptor } of homes) {
        // A thread that cannot come home would do the host's work in a container's network.
        if ((setnsCall(descriptor, namespaceFlags[kind]) as number) !== 0) process.abort();
      }
    }
  } finally {
    for (const { descriptor } of homes) closeSync(descriptor);
  }
}
