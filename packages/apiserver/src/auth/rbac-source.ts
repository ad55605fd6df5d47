import type {
  RbacV1Subject,
  V1AggregationRule,
  V1LabelSelector,
  V1ObjectMeta,
  V1PolicyRule,
  V1RoleRef,
} from '@wherry/api';

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

/** A label selector as a predicate (matchLabels and matchExpressions). */
export function labelSelectorOf(selector: V1LabelSelector): (labels: Readonly<Record<string, string>>) => boolean {
  const equal = Object.entries(selector.matchLabels ?? {});
  const expressions = selector.matchExpressions ?? [];
  return (labels) =>
    equal.every(([key, value]) => labels[key] === value) &&
    expressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      if (operator === 'In') return value !== undefined && values.includes(value);
      return value === undefined || !values.includes(value);
    });
}
