import { join, normalize } from 'node:path';
import { WherryError } from '@wherry/base';
import type { EngineContext } from './context.ts';
import type { OciRuntime } from './runtime/oci-runtime.ts';
import type { ContainerRecord, SandboxRecord } from './state/records.ts';

/** Absolute path of a sandbox's cgroup. */
export function sandboxCgroup(context: EngineContext, record: SandboxRecord): string {
  return join(context.cgroupParent, normalize(`/${record.config.cgroupParent}`));
}

/** Finds containers and what belongs to them. */
export class ContainerIndex {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** By id or by a prefix that is of one container only. One that is being removed is not there any more. */
  find(id: string): ContainerRecord | undefined {
    const { containers } = this.#context;
    const exact = containers.get(id);
    if (exact !== undefined || id.length < 4) return exact?.phase === 'removing' ? undefined : exact;
    const matches = containers.all().filter((record) => record.id.startsWith(id) && record.phase !== 'removing');
    return matches.length === 1 ? matches[0] : undefined;
  }

  get(id: string): ContainerRecord {
    const record = this.find(id);
    if (record === undefined) throw new WherryError('notFound', `there is no container ${id}`);
    return record;
  }

  of(sandboxId: string): ContainerRecord[] {
    return this.#context.containers
      .all()
      .filter((record) => record.sandboxId === sandboxId && record.phase !== 'removing');
  }

  /** Number of a running container's first process, in the host's process namespace. Throws `conflict`. */
  processOf(id: string): number {
    const record = this.get(id);
    if (record.phase !== 'running' || record.process === undefined)
      throw new WherryError('conflict', `container ${record.id} is not running`);
    return record.process.pid;
  }

  cgroup(record: ContainerRecord): string {
    const sandbox = this.#context.sandboxes.get(record.sandboxId);
    return sandbox === undefined
      ? `${this.#context.cgroupParent}/lost/${record.id}`
      : join(sandboxCgroup(this.#context, sandbox), record.id);
  }

  /** The one of its last start; before that, the one that its sandbox asks for. */
  runtimeOf(record: ContainerRecord): OciRuntime {
    const { runtimes, sandboxes } = this.#context;
    if (record.runtime !== undefined) return runtimes.of(record.runtime);
    const handler = sandboxes.get(record.sandboxId)?.config.runtimeHandler;
    // One that is not registered any more has started nothing.
    return runtimes.for(runtimes.has(handler) ? handler : undefined);
  }

  /** The one of its next start. Throws `invalid` for one that is not registered. */
  runtimeFor(record: ContainerRecord): OciRuntime {
    return this.#context.runtimes.for(this.#context.sandboxes.get(record.sandboxId)?.config.runtimeHandler);
  }
}
