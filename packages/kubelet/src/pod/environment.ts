import type { V1ConfigMap, V1Container, V1EnvFromSource, V1EnvVar, V1Pod, V1Secret, V1Service } from '@wherry/api';
import { WherryError } from '@wherry/base';
import { type DownwardFacts, podFieldValue, resourceFieldValue } from '@wherry/volumes';
import { expand } from './expansion.ts';
import { serviceEnvironment } from './service-environment.ts';

/** What the environment of a container is made of. `undefined` objects do not exist. */
export interface EnvironmentSources {
  readonly pod: V1Pod;
  readonly facts: DownwardFacts;
  readonly services: readonly V1Service[];
  configMap(name: string): Promise<V1ConfigMap | undefined>;
  secret(name: string): Promise<V1Secret | undefined>;
}

/** The variables of a container and what `$(NAME)` in its command stands for. */
export interface ContainerEnvironment {
  readonly variables: readonly { readonly name: string; readonly value: string }[];
  lookup(name: string): string | undefined;
}

/**
 * The environment of a container: `envFrom`, then `env` in order, then the service variables that are
 * not set otherwise. Throws `notFound` in upstream's words for what is missing and not optional.
 */
export async function containerEnvironment(
  container: V1Container,
  sources: EnvironmentSources,
): Promise<ContainerEnvironment> {
  const { pod } = sources;
  const links = pod.spec?.enableServiceLinks !== false;
  const services = serviceEnvironment(sources.services, pod.metadata?.namespace ?? '', links);
  const own = new Map<string, string>();
  const lookup = (name: string): string | undefined => own.get(name) ?? services.get(name);
  for (const from of container.envFrom ?? []) await addFrom(own, from, sources);
  for (const variable of container.env ?? []) {
    const value = await variableValue(variable, container, sources, lookup);
    if (value !== undefined) own.set(variable.name, value);
  }
  const all = new Map([...services, ...own]);
  return { variables: [...all].map(([name, value]) => ({ name, value })), lookup };
}

async function addFrom(own: Map<string, string>, from: V1EnvFromSource, sources: EnvironmentSources): Promise<void> {
  const prefix = from.prefix ?? '';
  const add = (key: string, value: string): void => {
    const name = prefix + key;
    // RelaxedEnvironmentVariableValidation: printable ASCII without '='.
    if (/^[\x20-\x3c\x3e-\x7e]+$/.test(name)) own.set(name, value);
  };
  if (from.configMapRef) {
    const name = from.configMapRef.name ?? '';
    const object = await sources.configMap(name);
    if (object === undefined && from.configMapRef.optional !== true)
      throw new WherryError('notFound', `configmap "${name}" not found`);
    for (const [key, value] of Object.entries(object?.data ?? {})) add(key, value);
  } else if (from.secretRef) {
    const name = from.secretRef.name ?? '';
    const object = await sources.secret(name);
    if (object === undefined && from.secretRef.optional !== true)
      throw new WherryError('notFound', `secret "${name}" not found`);
    for (const [key, value] of Object.entries(object?.data ?? {})) add(key, Buffer.from(value, 'base64').toString());
  }
}

async function variableValue(
  variable: V1EnvVar,
  container: V1Container,
  sources: EnvironmentSources,
  lookup: (name: string) => string | undefined,
): Promise<string | undefined> {
  const from = variable.valueFrom;
  if (from === undefined) return expand(variable.value ?? '', lookup);
  if (from.fieldRef) return podFieldValue(sources.pod, from.fieldRef, sources.facts);
  if (from.resourceFieldRef) {
    const name = from.resourceFieldRef.containerName;
    const { containers = [], initContainers = [] } = sources.pod.spec ?? { containers: [] };
    const target = name ? [...containers, ...initContainers].find((other) => other.name === name) : container;
    if (target === undefined) throw new WherryError('invalid', `container ${name} not found`);
    return resourceFieldValue(target, from.resourceFieldRef, sources.facts);
  }
  if (from.configMapKeyRef) {
    const { name = '', key, optional } = from.configMapKeyRef;
    const object = await sources.configMap(name);
    return required('ConfigMap', name, key, optional, object, object?.data?.[key], sources);
  }
  if (from.secretKeyRef) {
    const { name = '', key, optional } = from.secretKeyRef;
    const object = await sources.secret(name);
    const value = object?.data?.[key];
    const text = value === undefined ? undefined : Buffer.from(value, 'base64').toString();
    return required('Secret', name, key, optional, object, text, sources);
  }
  throw new WherryError('invalid', `environment variable ${variable.name} has a source that is not supported`);
}

function required(
  kind: 'ConfigMap' | 'Secret',
  name: string,
  key: string,
  optional: boolean | undefined,
  object: unknown,
  value: string | undefined,
  { pod }: EnvironmentSources,
): string | undefined {
  if (value !== undefined || optional === true) return value;
  if (object === undefined) throw new WherryError('notFound', `${kind.toLowerCase()} "${name}" not found`);
  throw new WherryError('notFound', `couldn't find key ${key} in ${kind} ${pod.metadata?.namespace}/${name}`);
}
