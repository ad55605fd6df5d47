import type { V1Container, V1Pod } from '@wherry/api';
import type { ContainerConfig, Mount } from '@wherry/runtime';
import type { ContainerEnvironment } from './environment.ts';
import { expand } from './expansion.ts';
import { containerHash, labelsOfPod, podLabels } from './labels.ts';
import { containerResources } from './resources.ts';
import { securityOf } from './security.ts';

/** What a container's configuration is made of, beside pod and container. */
export interface ContainerFacts {
  readonly attempt: number;
  /** What the image service resolves: the id of the image that was found or pulled. */
  readonly image: string;
  readonly environment: ContainerEnvironment;
  readonly volumeMounts: readonly Mount[];
  readonly hostsFile: string | undefined;
  /** Host file behind `terminationMessagePath`. */
  readonly terminationMessageFile: string | undefined;
  readonly memoryCapacity: number;
  /** The container that an ephemeral one looks into. */
  readonly targetId?: string | undefined;
}

/** The container for the runtime. Pure. */
export function containerConfig(pod: V1Pod, container: V1Container, facts: ContainerFacts): ContainerConfig {
  const { environment } = facts;
  const { stdin = false, stdinOnce = false, tty = false } = container;
  const path = container.terminationMessagePath || '/dev/termination-log';
  const mounts = [...facts.volumeMounts];
  const has = (target: string): boolean => mounts.some(({ containerPath }) => containerPath === target);
  if (facts.hostsFile !== undefined && !has('/etc/hosts'))
    mounts.push({
      hostPath: facts.hostsFile,
      containerPath: '/etc/hosts',
      readOnly: container.securityContext?.readOnlyRootFilesystem === true,
    });
  if (facts.terminationMessageFile !== undefined && !has(path))
    mounts.push({ hostPath: facts.terminationMessageFile, containerPath: path });
  return {
    metadata: { name: container.name, attempt: facts.attempt },
    image: facts.image,
    command: container.command?.map((word) => expand(word, environment.lookup)),
    args: container.args?.map((word) => expand(word, environment.lookup)),
    workingDir: container.workingDir || undefined,
    env: environment.variables,
    mounts,
    labels: { ...labelsOfPod(pod), [podLabels.container]: container.name },
    annotations: {
      [podLabels.hash]: containerHash(container),
      [podLabels.restartCount]: String(facts.attempt),
      [podLabels.terminationMessagePath]: path,
      [podLabels.terminationMessagePolicy]: container.terminationMessagePolicy ?? 'File',
      [podLabels.gracePeriod]: String(pod.spec?.terminationGracePeriodSeconds ?? 30),
      ...(facts.terminationMessageFile === undefined
        ? {}
        : { [podLabels.terminationMessageFile]: facts.terminationMessageFile }),
    },
    logPath: `${container.name}/${facts.attempt}.log`,
    stdin,
    stdinOnce,
    tty,
    resources: containerResources(pod, container, facts.memoryCapacity),
    security: securityOf(pod, container),
    stopSignal: container.lifecycle?.stopSignal || undefined,
    processesOf: facts.targetId,
  };
}
