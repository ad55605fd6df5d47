import type {
  V1EnvFromSource,
  V1EnvVar,
  V1ObjectFieldSelector,
  V1ResourceFieldSelector,
} from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { compareQuantity } from '../../quantity.ts';
import { checkName, checkRequiredName } from '../shared/checks.ts';
import {
  configKeyProblems,
  dnsSubdomainProblems,
  environmentNameProblems,
  qualifiedNameProblems,
} from '../shared/names.ts';

const environmentFields = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
/** The fields of a pod that files of a downward API volume may show. */
export const fileFields: readonly string[] = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
];
const convertible = new Set([...environmentFields, ...fileFields]);
const resourceFields = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];
const divisors: Readonly<Record<string, readonly string[]>> = {
  cpu: ['1m', '1'],
  memory: ['1', '1k', '1M', '1G', '1T', '1P', '1E', '1Ki', '1Mi', '1Gi', '1Ti', '1Pi', '1Ei'],
};

/** `metadata.labels['key']` and the like: the field and the key. */
const subscript = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/;

/** A reference to a field of the pod. */
export function validateFieldRef(ref: V1ObjectFieldSelector, allowed: readonly string[], path: string): FieldError[] {
  const at = `${path}.fieldPath`;
  if (!ref.apiVersion) return [field.required(`${path}.apiVersion`)];
  if (!ref.fieldPath) return [field.required(at)];
  const keyed = subscript.exec(ref.fieldPath);
  if (keyed) return checkName(keyed[2]!, (key) => qualifiedNameProblems(key.toLowerCase()), at);
  if (!convertible.has(ref.fieldPath)) {
    const why = `error converting fieldPath: field label not supported: ${ref.fieldPath}`;
    return [field.invalid(at, ref.fieldPath, why)];
  }
  return allowed.includes(ref.fieldPath) ? [] : [field.notSupported(at, ref.fieldPath, allowed)];
}

/** A reference to a container's resources; `inVolume`: the container must be named. */
export function validateResourceFieldRef(ref: V1ResourceFieldSelector, inVolume: boolean, path: string): FieldError[] {
  if (inVolume && !ref.containerName) return [field.required(`${path}.containerName`)];
  if (!ref.resource) return [field.required(`${path}.resource`)];
  const huge = /^(limits|requests)\.hugepages-/.test(ref.resource);
  if (!resourceFields.includes(ref.resource) && !huge) {
    return [field.notSupported(`${path}.resource`, ref.resource, resourceFields)];
  }
  const divisor = ref.divisor;
  if (divisor === undefined || compareQuantity(divisor, '0') === 0) return [];
  const cpu = ref.resource.endsWith('.cpu');
  const choices = cpu ? divisors.cpu! : divisors.memory!;
  if (choices.some((choice) => compareQuantity(choice, divisor) === 0)) return [];
  const unit = cpu
    ? 'cpu'
    : ref.resource.split('.').slice(1).join('.').replace('ephemeral-storage', 'local ephemeral storage');
  const list = cpu ? '1m and 1' : choices.join(', ');
  return [
    field.invalid(`${path}.divisor`, divisor, `only divisor's values ${list} are supported with the ${unit} resource`),
  ];
}

function validateValueFrom(variable: V1EnvVar, path: string): FieldError[] {
  const from = variable.valueFrom;
  if (!from) return [];
  const at = `${path}.valueFrom`;
  const errors: FieldError[] = [];
  if (from.fieldRef) errors.push(...validateFieldRef(from.fieldRef, environmentFields, `${at}.fieldRef`));
  if (from.resourceFieldRef) {
    errors.push(...validateResourceFieldRef(from.resourceFieldRef, false, `${at}.resourceFieldRef`));
  }
  for (const name of ['configMapKeyRef', 'secretKeyRef'] as const) {
    const ref = from[name];
    if (ref) errors.push(...checkRequiredName(ref.key, configKeyProblems, `${at}.${name}.key`));
  }
  if (from.fileKeyRef) {
    if (!from.fileKeyRef.key) errors.push(field.required(`${at}.fileKeyRef.key`));
    if (!from.fileKeyRef.volumeName) errors.push(field.required(`${at}.fileKeyRef.volumeName`));
    if (!from.fileKeyRef.path) errors.push(field.required(`${at}.fileKeyRef.path`));
  }
  const sources = Object.values(from).filter((source) => source !== undefined).length;
  if (sources === 0) {
    const words =
      'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`';
    errors.push(field.invalid(at, '', words));
  } else if (variable.value) {
    errors.push(field.invalid(at, '', 'may not be specified when `value` is not empty'));
  } else if (sources > 1) {
    errors.push(field.invalid(at, '', 'may not have more than one field specified at a time'));
  }
  return errors;
}

/** The environment variables of a container. */
export function validateEnvironment(variables: readonly V1EnvVar[] | undefined, path: string): FieldError[] {
  return (variables ?? []).flatMap((variable, index) => [
    ...checkRequiredName(variable.name, environmentNameProblems, `${path}[${index}].name`),
    ...validateValueFrom(variable, `${path}[${index}]`),
  ]);
}

/** The sources that a container takes whole sets of variables from. */
export function validateEnvironmentSources(
  sources: readonly V1EnvFromSource[] | undefined,
  path: string,
): FieldError[] {
  return (sources ?? []).flatMap((source, index) => {
    const at = `${path}[${index}]`;
    const errors: FieldError[] = [];
    if (source.prefix) errors.push(...checkName(source.prefix, environmentNameProblems, `${at}.prefix`));
    for (const name of ['configMapRef', 'secretRef'] as const) {
      const ref = source[name];
      if (ref) errors.push(...checkRequiredName(ref.name, dnsSubdomainProblems, `${at}.${name}.name`));
    }
    if (!source.configMapRef && !source.secretRef) {
      errors.push(field.invalid(path, '', 'must specify one of: `configMapRef` or `secretRef`'));
    } else if (source.configMapRef && source.secretRef) {
      errors.push(field.invalid(path, '', 'may not have more than one field specified at a time'));
    }
    return errors;
  });
}
