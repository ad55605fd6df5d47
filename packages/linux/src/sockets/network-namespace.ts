import { insideNetworkNamespace } from '../namespaces/switch.ts';

/** Runs synchronous `work` on this thread inside the network namespace at `path`, or where the thread is when there is none; see `insideNetworkNamespace`. */
export function inNetworkNamespace<T>(path: string | undefined, work: () => T): T {
  return path === undefined ? work() : insideNetworkNamespace(path, work);
}
