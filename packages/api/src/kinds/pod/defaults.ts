import type { V1Container, V1Pod, V1PodSpec, V1PodTemplateSpec } from '../../../generated/types.ts';
import { defaultContainer, defaultRequestsFromLimits } from './default-container.ts';
import { defaultVolume } from './default-volume.ts';

/** Init, ordinary and ephemeral containers, in this order. */
export function allContainers(spec: V1PodSpec): V1Container[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])];
}

/** What pods and pod templates have in common. Changes its argument. */
export function defaultPodSpec(spec: V1PodSpec): void {
  spec.containers ??= [];
  for (const container of allContainers(spec)) defaultContainer(container);
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  spec.dnsPolicy ||= 'ClusterFirst';
  spec.restartPolicy ||= 'Always';
  spec.schedulerName ||= 'default-scheduler';
  spec.securityContext ??= {};
  spec.terminationGracePeriodSeconds ??= 30;
  // The deprecated field is served beside the one that replaced it.
  const account = spec.serviceAccountName || spec.serviceAccount;
  if (account) {
    spec.serviceAccountName = account;
    spec.serviceAccount = account;
  }
}

/** Defaults of a workload's template; a missing one becomes an empty one. */
export function defaultPodTemplate(holder: { template?: V1PodTemplateSpec | undefined }): V1PodTemplateSpec {
  holder.template ??= {};
  holder.template.metadata ??= {};
  holder.template.spec ??= { containers: [] };
  defaultPodSpec(holder.template.spec);
  return holder.template;
}

/** Defaults of a Pod: those of every pod spec and those that templates do not get. */
export function defaultPod(pod: V1Pod): void {
  pod.spec ??= { containers: [] };
  pod.status ??= {};
  const spec = pod.spec;
  defaultPodSpec(spec);
  spec.enableServiceLinks ??= true;
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    defaultRequestsFromLimits(container.resources);
    if (!spec.hostNetwork) continue;
    for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
  }
  defaultRequestsFromLimits(spec.resources);
}
