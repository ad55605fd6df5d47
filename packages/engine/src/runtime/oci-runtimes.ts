import { join } from 'node:path';
import { WherryError } from '@wherry/base';
import type { RegisteredRuntime } from '../options.ts';
import { OciRuntime } from './oci-runtime.ts';
import type { RuntimeNamespace } from './runtime-namespace.ts';

/** What there is without being registered: it is the default, and its containers' state is in the folder itself. */
export const builtInRuntime: RegisteredRuntime = { name: 'crun', path: 'crun', args: [] };

/** The OCI runtimes that an engine may use, by name; a running container has the one that it was started with. */
export class OciRuntimes implements Disposable {
  readonly #registered: ReadonlyMap<string, RegisteredRuntime>;
  readonly #default: RegisteredRuntime;
  readonly #state: string;
  readonly #namespace: RuntimeNamespace;
  readonly #open = new Map<string, OciRuntime>();

  constructor(
    registered: readonly RegisteredRuntime[] = [builtInRuntime],
    stateDirectory: string,
    namespace: RuntimeNamespace,
  ) {
    this.#registered = new Map(registered.map((entry) => [checkedName(entry), entry]));
    this.#default = registered[0] ?? builtInRuntime;
    this.#state = stateDirectory;
    this.#namespace = namespace;
  }

  has(handler: string | undefined): boolean {
    return handler !== undefined && this.#registered.has(handler);
  }

  /** The runtime of a sandbox's handler; the default one for none. Throws `invalid` for an unknown one. */
  for(handler: string | undefined): OciRuntime {
    if (handler === undefined || handler === '') return this.of(this.#default);
    const entry = this.#registered.get(handler);
    if (entry === undefined)
      throw new WherryError('invalid', `no runtime for ${JSON.stringify(handler)} is configured`);
    return this.of(entry);
  }

  /** The runtime of an entry that a container was started with, which need not be registered any more. */
  of(entry: RegisteredRuntime): OciRuntime {
    const key = JSON.stringify([entry.name, entry.path, entry.args]);
    const known = this.#open.get(key);
    if (known !== undefined) return known;
    const state = entry.name === builtInRuntime.name ? this.#state : join(this.#state, entry.name);
    const runtime = new OciRuntime(entry, state, this.#namespace);
    this.#open.set(key, runtime);
    return runtime;
  }

  [Symbol.dispose](): void {
    for (const runtime of this.#open.values()) runtime[Symbol.dispose]();
  }
}

/** A name is one of a folder, and no container's. */
function checkedName({ name }: RegisteredRuntime): string {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(name))
    throw new WherryError('invalid', `invalid name of a runtime: ${JSON.stringify(name)}`);
  return name;
}
