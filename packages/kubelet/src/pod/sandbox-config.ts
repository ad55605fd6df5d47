import type { V1Pod } from '@wherry/api';
import { WherryError } from '@wherry/base';
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

/** The sandbox of a pod for the runtime. Pure. Throws `unsupported` for a pod that must not have the machine's users. */
export function sandboxConfig(pod: V1Pod, facts: SandboxFacts): PodSandboxConfig {
  const { name = '', namespace = '', uid = '', labels = {}, annotations = {} } = pod.metadata ?? {};
  const spec = pod.spec;
  // Its volumes would have to be mapped, too. To run it all the same would make its root the machine's.
  if (spec?.hostUsers === false)
    throw new WherryError('unsupported', "can't set `spec.hostUsers: false`, runtime does not support user namespaces");
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
