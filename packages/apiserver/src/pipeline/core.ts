import type { ApiObject, FieldError, KindDeclaration } from '@wherry/api';
import type { Clock, Logger, Random } from '@wherry/base';
import type { AdmissionPlugin, AdmissionReader } from '../admission/contract.ts';
import type { Catalog } from '../registry/catalog.ts';
import type { Registry } from '../registry/registry.ts';

/** Addresses or ports taken for a write that is under way. */
export interface Claim {
  /** What could not be given; the write is refused then. */
  readonly errors: readonly FieldError[];
  /** Called when the write is over, whether it succeeded or not. */
  release(): void;
}

/** What a few resources need beyond their declaration, because it concerns the server as a whole. */
export interface ResourceHooks {
  /** Takes addresses and ports for a draft and fills them in. */
  claim?(draft: ApiObject, old: ApiObject | undefined): Claim;
  /** Whether a deleted object must stay although it has no finalizers in its metadata. */
  holdsBack?(object: ApiObject): boolean;
  /** Changes a draft that is marked as deleted. */
  markDeleted?(draft: ApiObject): void;
  /** How long an object of this resource is kept (milliseconds). */
  readonly lifetime?: number;
}

/** The parts that every operation of the pipeline works with. */
export interface Core {
  readonly catalog: Catalog;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly admission: readonly AdmissionPlugin[];
  readonly reader: AdmissionReader;
  /** By `group/resource`. */
  readonly hooks: ReadonlyMap<string, ResourceHooks>;
}

/** The hooks of a resource, or none. */
export function hooksOf(core: Core, kind: KindDeclaration): ResourceHooks | undefined {
  return core.hooks.get(`${kind.group}/${kind.resource}`);
}
