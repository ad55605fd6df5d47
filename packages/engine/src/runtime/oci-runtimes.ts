import { join } from 'node:path';
import { WherryError } from '@wherry/base';
import type { EngineOptions } from '../options.ts';
import { OciRuntime } from './oci-runtime.ts';
import type { RuntimeNamespace } from './runtime-namespace.ts';

/** The OCI runtimes that an engine may use, by the names of their handlers. */
export class OciRuntimes implements Disposable {
  readonly #options: Pick<EngineOptions, 'runtimes'>;
  readonly #state: string;
  readonly #namespace: RuntimeNamespace;
  readonly #default: OciRuntime;
  readonly #named = new Map<string, OciRuntime>();

  constructor(
    options: Pick<EngineOptions, 'defaultRuntime' | 'runtimes'>,
    stateDirectory: string,
    namespace: RuntimeNamespace,
  ) {
    this.#options = options;
    this.#state = stateDirectory;
    this.#namespace = namespace;
    this.#default = new OciRuntime((options.defaultRuntime ?? { path: 'crun' }).path, stateDirectory, namespace);
  }

  /** The runtime of a sandbox's handler. Throws `invalid` for an unknown one. */
  for(handler: string | undefined): OciRuntime {
    if (handler === undefined || handler === '') return this.#default;
    const wanted = this.#options.runtimes?.[handler];
    if (wanted === undefined)
      throw new WherryError('invalid', `no runtime for ${JSON.stringify(handler)} is configured`);
    const runtime =
      this.#named.get(handler) ?? new OciRuntime(wanted.path, join(this.#state, handler), this.#namespace);
    this.#named.set(handler, runtime);
    return runtime;
  }

  [Symbol.dispose](): void {
    for (const runtime of [this.#default, ...this.#named.values()]) runtime[Symbol.dispose]();
  }
}
