import type { KindDeclaration } from '@wherry/api';
import type { UserInfo } from '../auth/contract.ts';

/** What a request is about: a resource, perhaps one object of it, perhaps a part of that. */
export interface Target {
  readonly kind: KindDeclaration;
  readonly namespace: string; // '' for cluster-scoped, or for all namespaces
  readonly name: string; // '' for the collection
  readonly subresource: string; // '' for the object itself
}

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

/** Who asks and how, beside the target and the body. */
export interface RequestOptions {
  readonly user: UserInfo;
  readonly dryRun: boolean;
  /** Recorded in `managedFields`; `undefined`: changes are not tracked (components in the process). */
  readonly fieldManager: string | undefined;
  readonly fieldValidation: FieldValidation;
  /** Collects what becomes `Warning:` headers. */
  readonly warn: (text: string) => void;
}

/** The key of an object in its resource's cache. */
export function keyOf(target: { readonly kind: KindDeclaration; readonly namespace: string }, name: string): string {
  return target.kind.namespaced ? `${target.namespace}/${name}` : name;
}
