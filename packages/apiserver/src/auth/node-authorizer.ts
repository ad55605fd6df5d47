import type { V1Pod, V1PodSpec } from '@wherry/api';
import type { Attributes, Authorizer } from './contract.ts';
import { ruleAllows } from './rbac-authorizer.ts';
import type { RbacRule } from './rbac-source.ts';

/** What the Node authorizer must know: the rules of `system:node`, and the pods of a namespace. */
export interface NodeAuthorizerSource {
  /** The rules of the ClusterRole `system:node`. */
  nodeRules(): readonly RbacRule[];
  podsIn(namespace: string): readonly V1Pod[];
}

/**
 * Node authorization (kubernetes.io/docs/reference/access-authn-authz/node): a kubelet
 * `system:node:NAME` in `system:nodes` may do what its ClusterRole says, and read secrets, config
 * maps, claims and service accounts only where a pod bound to it refers to them.
 */
export function createNodeAuthorizer(source: NodeAuthorizerSource): Authorizer['authorize'] {
  return (attributes) => {
    const node = nodeOf(attributes);
    if (node === undefined) return { allowed: false, reason: '' };
    if (!source.nodeRules().some((rule) => ruleAllows(rule, attributes))) return { allowed: false, reason: '' };
    if (!attributes.resourceRequest || attributes.group !== '') return { allowed: true, reason: '' };
    const refers = references[attributes.resource];
    if (refers === undefined) return { allowed: true, reason: '' };
    if (attributes.name === '' || attributes.namespace === '')
      return { allowed: false, reason: `can only read resources of this type by name` };
    const related = source
      .podsIn(attributes.namespace)
      .some((pod) => pod.spec?.nodeName === node && refers(pod, attributes.name));
    return related
      ? { allowed: true, reason: '' }
      : { allowed: false, reason: `no relationship found between node '${node}' and this object` };
  };
}

function nodeOf({ user }: Attributes): string | undefined {
  const prefix = 'system:node:';
  return user.groups.includes('system:nodes') && user.username.startsWith(prefix)
    ? user.username.slice(prefix.length)
    : undefined;
}

const references: Readonly<Record<string, (pod: V1Pod, name: string) => boolean>> = {
  secrets: (pod, name) => secretsOf(pod.spec!).includes(name),
  configmaps: (pod, name) => configMapsOf(pod.spec!).includes(name),
  serviceaccounts: (pod, name) => (pod.spec!.serviceAccountName ?? 'default') === name,
  persistentvolumeclaims: (pod, name) =>
    (pod.spec!.volumes ?? []).some(
      (v) => v.persistentVolumeClaim?.claimName === name || (v.ephemeral && `${pod.metadata?.name}-${v.name}` === name),
    ),
};

function containersOf(spec: V1PodSpec) {
  return [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
}

/** Names of the secrets that a pod refers to. */
function secretsOf(spec: V1PodSpec): string[] {
  const names: (string | undefined)[] = (spec.imagePullSecrets ?? []).map((ref) => ref.name);
  for (const { env, envFrom } of containersOf(spec)) {
    for (const entry of env ?? []) names.push(entry.valueFrom?.secretKeyRef?.name);
    for (const entry of envFrom ?? []) names.push(entry.secretRef?.name);
  }
  for (const volume of spec.volumes ?? []) {
    names.push(volume.secret?.secretName, volume.csi?.nodePublishSecretRef?.name);
    for (const part of volume.projected?.sources ?? []) names.push(part.secret?.name);
  }
  return names.filter((name) => name !== undefined);
}

/** Names of the config maps that a pod refers to. */
function configMapsOf(spec: V1PodSpec): string[] {
  const names: (string | undefined)[] = [];
  for (const { env, envFrom } of containersOf(spec)) {
    for (const entry of env ?? []) names.push(entry.valueFrom?.configMapKeyRef?.name);
    for (const entry of envFrom ?? []) names.push(entry.configMapRef?.name);
  }
  for (const volume of spec.volumes ?? []) {
    names.push(volume.configMap?.name);
    for (const part of volume.projected?.sources ?? []) names.push(part.configMap?.name);
  }
  return names.filter((name) => name !== undefined);
}
