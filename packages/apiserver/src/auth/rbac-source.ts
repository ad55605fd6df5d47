import type { RbacV1Subject, V1AggregationRule, V1ObjectMeta, V1PolicyRule, V1RoleRef } from '@wherry/api';

export type RbacRule = V1PolicyRule;
export type RbacResource = 'roles' | 'rolebindings' | 'clusterroles' | 'clusterrolebindings';

/** A role or a binding, as far as the authorizer reads it. */
export interface RbacObject {
  readonly metadata?: V1ObjectMeta | undefined;
  readonly rules?: readonly RbacRule[] | undefined;
  readonly aggregationRule?: V1AggregationRule | undefined;
  readonly roleRef?: V1RoleRef | undefined;
  readonly subjects?: readonly RbacV1Subject[] | undefined;
}

/** Where the authorizer reads roles and bindings: the API server's cache. */
export interface RbacSource {
  list(resource: RbacResource): readonly RbacObject[];
  /** Grows whenever one of the four resources changed. */
  generation(): number;
}
