import type { V1Pod } from '@wherry/api';
import type { DnsConfig, NamespaceMode, PodSandboxConfig, PortMapping } from '@wherry/runtime';
import { podHostname } from './hosts-file.ts';
import { labelsOfPod } from './labels.ts';
import { podCgroup, podResources } from './resources.ts';

/** What a sandbox's configuration is made of, beside the pod. */
export interface SandboxFacts {
  readonly attempt: number;
  readonly logDirectory: string;
  readonly dns: DnsConfig;
  readonly cgroupRoot: string;
  readonly runtimeHandler: string | undefined;
  readonly nodeName: string;
}

/** The sandbox of a pod for the runtime. Pure. */
export function sandboxConfig(pod: V1Pod, facts: SandboxFacts): PodSandboxConfig {
  const { name = '', namespace = '', uid = '', labels = {}, annotations = {} } = pod.metadata ?? {};
  const spec = pod.spec;
  const pid: NamespaceMode = spec?.hostPID ? 'node' : spec?.shareProcessNamespace ? 'pod' : 'container';
  const sysctls = spec?.securityContext?.sysctls ?? [];
  return {
    metadata: { name, namespace, uid, attempt: facts.attempt },
    hostname: spec?.hostNetwork ? facts.nodeName : podHostname(pod),
    logDirectory: facts.logDirectory,
    dns: facts.dns,
    labels: { ...labels, ...labelsOfPod(pod) },
    annotations,
    portMappings: spec?.hostNetwork ? [] : hostPorts(pod),
    namespaces: { network: spec?.hostNetwork ? 'node' : 'pod', pid, ipc: spec?.hostIPC ? 'node' : 'pod' },
    sysctls: Object.fromEntries(sysctls.map((sysctl) => [sysctl.name, sysctl.value])),
    cgroupParent: podCgroup(facts.cgroupRoot, pod),
    resources: podResources(pod),
    runtimeHandler: facts.runtimeHandler,
  };
}

function hostPorts(pod: V1Pod): PortMapping[] {
  const ports = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].flatMap(
    ({ ports }) => ports ?? [],
  );
  return ports
    .filter(({ hostPort }) => hostPort !== undefined && hostPort > 0)
    .map(({ hostPort, containerPort, protocol, hostIP }) => ({
      protocol: (protocol ?? 'TCP') as PortMapping['protocol'],
      containerPort,
      hostPort: hostPort as number,
      hostIp: hostIP || undefined,
    }));
}
