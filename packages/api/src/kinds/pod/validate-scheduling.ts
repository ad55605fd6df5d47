import type {
  V1Affinity,
  V1NodeSelectorRequirement,
  V1NodeSelectorTerm,
  V1PodAffinityTerm,
  V1Toleration,
  V1TopologySpreadConstraint,
} from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { checkName, checkOptionalChoice, checkRange } from '../shared/checks.ts';
import { validateLabelSelector } from '../shared/label-selector.ts';
import { dnsLabelProblems, labelValueProblems, qualifiedNameProblems } from '../shared/names.ts';

const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

/** Tolerations of a pod. */
export function validateTolerations(tolerations: readonly V1Toleration[] | undefined, path: string): FieldError[] {
  return (tolerations ?? []).flatMap((toleration, index) => {
    const at = `${path}[${index}]`;
    const { key, operator = 'Equal', value, effect, tolerationSeconds } = toleration;
    const errors: FieldError[] = [];
    if (key) errors.push(...checkName(key, qualifiedNameProblems, `${at}.key`));
    if (!key && operator !== 'Exists') {
      const words = 'operator must be Exists when `key` is empty, which means "match all values and all keys"';
      errors.push(field.invalid(`${at}.operator`, operator, words));
    }
    if (tolerationSeconds !== undefined && effect !== 'NoExecute') {
      const words = "effect must be 'NoExecute' when `tolerationSeconds` is set";
      errors.push(field.invalid(`${at}.effect`, effect ?? '', words));
    }
    if (operator === 'Equal') errors.push(...checkName(value ?? '', labelValueProblems, `${at}.operator`));
    else if (operator === 'Exists') {
      if (value)
        errors.push(field.invalid(`${at}.operator`, toleration, "value must be empty when `operator` is 'Exists'"));
    } else errors.push(field.notSupported(`${at}.operator`, operator, ['Equal', 'Exists']));
    if (effect) errors.push(...checkOptionalChoice(effect, effects, `${at}.effect`));
    return errors;
  });
}

function validateRequirement(requirement: V1NodeSelectorRequirement, fields: boolean, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case 'In':
    case 'NotIn':
      if (values.length === 0) {
        errors.push(field.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      } else if (fields && values.length !== 1) {
        const words = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
        errors.push(field.required(`${at}.values`, words));
      }
      break;
    case 'Exists':
    case 'DoesNotExist':
      if (values.length > 0) {
        errors.push(
          field.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        );
      }
      break;
    case 'Gt':
    case 'Lt':
      if (values.length !== 1) {
        errors.push(field.required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
      }
      break;
    default:
      errors.push(field.invalid(`${at}.operator`, requirement.operator, 'not a valid selector operator'));
  }
  if (fields) {
    if (requirement.key !== 'metadata.name') {
      errors.push(field.invalid(`${at}.key`, requirement.key, 'not a valid field selector key'));
    }
  } else errors.push(...checkName(requirement.key, qualifiedNameProblems, `${at}.key`));
  return errors;
}

/** One term of a node selector. */
export function validateNodeSelectorTerm(term: V1NodeSelectorTerm | undefined, at: string): FieldError[] {
  return [
    ...(term?.matchExpressions ?? []).flatMap((r, i) => validateRequirement(r, false, `${at}.matchExpressions[${i}]`)),
    ...(term?.matchFields ?? []).flatMap((r, i) => validateRequirement(r, true, `${at}.matchFields[${i}]`)),
  ];
}

function validatePodAffinityTerm(term: V1PodAffinityTerm | undefined, at: string): FieldError[] {
  if (!term) return [field.required(`${at}.topologyKey`, 'can not be empty')];
  return [
    ...validateLabelSelector(term.labelSelector, `${at}.labelSelector`),
    ...validateLabelSelector(term.namespaceSelector, `${at}.namespaceSelector`),
    ...(term.namespaces ?? []).flatMap((name, i) => checkName(name, dnsLabelProblems, `${at}.namespaces[${i}]`)),
    ...(term.topologyKey
      ? checkName(term.topologyKey, qualifiedNameProblems, `${at}.topologyKey`)
      : [field.required(`${at}.topologyKey`, 'can not be empty')]),
  ];
}

function checkWeight(weight: number, at: string): FieldError[] {
  return weight >= 1 && weight <= 100 ? [] : [field.invalid(`${at}.weight`, weight, 'must be in the range 1-100')];
}

const required = 'requiredDuringSchedulingIgnoredDuringExecution';
const preferred = 'preferredDuringSchedulingIgnoredDuringExecution';

/** Affinity to nodes and to other pods. */
export function validateAffinity(affinity: V1Affinity | undefined, path: string): FieldError[] {
  if (!affinity) return [];
  const errors: FieldError[] = [];
  const node = affinity.nodeAffinity;
  const must = node?.[required];
  if (must) {
    const at = `${path}.nodeAffinity.${required}.nodeSelectorTerms`;
    const terms = must.nodeSelectorTerms ?? [];
    if (terms.length === 0) errors.push(field.required(at, 'must have at least one node selector term'));
    terms.forEach((term, i) => {
      errors.push(...validateNodeSelectorTerm(term, `${at}[${i}]`));
    });
  }
  (node?.[preferred] ?? []).forEach((term, i) => {
    const at = `${path}.nodeAffinity.${preferred}[${i}]`;
    errors.push(...checkWeight(term.weight, at), ...validateNodeSelectorTerm(term.preference, `${at}.preference`));
  });
  for (const name of ['podAffinity', 'podAntiAffinity'] as const) {
    (affinity[name]?.[required] ?? []).forEach((term, i) => {
      errors.push(...validatePodAffinityTerm(term, `${path}.${name}.${required}[${i}]`));
    });
    (affinity[name]?.[preferred] ?? []).forEach((term, i) => {
      const at = `${path}.${name}.${preferred}[${i}]`;
      errors.push(
        ...checkWeight(term.weight, at),
        ...validatePodAffinityTerm(term.podAffinityTerm, `${at}.podAffinityTerm`),
      );
    });
  }
  return errors;
}

/** Topology spread constraints (KEP-895). */
export function validateSpread(
  constraints: readonly V1TopologySpreadConstraint[] | undefined,
  path: string,
): FieldError[] {
  const pairs = new Set<string>();
  return (constraints ?? []).flatMap((constraint, index) => {
    const at = `${path}[${index}]`;
    const errors: FieldError[] = [];
    if (constraint.maxSkew <= 0) {
      errors.push(field.invalid(`${at}.maxSkew`, constraint.maxSkew, 'must be greater than zero'));
    }
    if (!constraint.topologyKey) errors.push(field.required(`${at}.topologyKey`, 'can not be empty'));
    else errors.push(...checkName(constraint.topologyKey, qualifiedNameProblems, `${at}.topologyKey`));
    const choices = ['DoNotSchedule', 'ScheduleAnyway'];
    errors.push(...checkOptionalChoice(constraint.whenUnsatisfiable, choices, `${at}.whenUnsatisfiable`));
    const pair = `{${constraint.topologyKey}, ${constraint.whenUnsatisfiable}}`;
    if (pairs.has(pair)) errors.push(field.duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair));
    pairs.add(pair);
    if (constraint.minDomains !== undefined) {
      errors.push(...checkRange(constraint.minDomains, 1, 2 ** 31 - 1, `${at}.minDomains`));
      if (constraint.whenUnsatisfiable !== 'DoNotSchedule') {
        const words = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${constraint.whenUnsatisfiable}`;
        errors.push(field.invalid(`${at}.minDomains`, constraint.minDomains, words));
      }
    }
    const policies = ['Honor', 'Ignore'];
    errors.push(
      ...checkOptionalChoice(constraint.nodeAffinityPolicy, policies, `${at}.nodeAffinityPolicy`),
      ...checkOptionalChoice(constraint.nodeTaintsPolicy, policies, `${at}.nodeTaintsPolicy`),
      ...validateLabelSelector(constraint.labelSelector, `${at}.labelSelector`),
    );
    return errors;
  });
}
