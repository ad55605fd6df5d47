import type { DnsConfig, PodSandboxConfig, SandboxNamespaceModes } from '@wherry/runtime';
import { containerOfMode } from '../config/modes.ts';
import type { HostConfig } from '../config/types.ts';
import type { DockerContext } from '../containers/context.ts';
import type { ContainerRecord } from '../containers/record.ts';

/** Whether containers are docker's or a pod's is told by this label of theirs. */
export const dockerLabel = 'dev.wherry.docker';

/** All containers of docker are in one cgroup, `docker`, each in one of its own id. */
const cgroup = 'docker';

/**
 * The sandbox of a docker container, of the same id. `starting`: the containers that its modes name are looked up, and
 * must be there; until then they may be missing, as with dockerd.
 */
export function sandboxConfig(
  context: DockerContext,
  record: ContainerRecord,
  { starting }: { readonly starting: boolean },
): PodSandboxConfig {
  const { id, name, host } = record;
  const sysctls = sysctlsOf(record);
  // Sysctls are set before the container is made, in namespaces of the sandbox; others may as well be the container's.
  const own = Object.keys(sysctls ?? {}).every((sysctl) => sysctl.startsWith('net.')) ? 'container' : 'pod';
  return {
    id,
    metadata: { name, uid: id, namespace: 'docker', attempt: 0 },
    hostname: hostnameOf(context, record, starting),
    logDirectory: context.store.folder(id),
    dns: undefined as DnsConfig | undefined,
    labels: { [dockerLabel]: 'true' },
    annotations: {},
    namespaces: namespaceModes(context, host, starting, own),
    sharedMemoryBytes: host.ShmSize,
    sysctls,
    cgroupParent: host.CgroupParent === '' ? cgroup : host.CgroupParent.replace(/^\/+/, '') || cgroup,
    runtimeHandler: host.Runtime === context.runtimes[0] ? undefined : host.Runtime,
  };
}

/** One that joins another's network goes by that one's name. */
function hostnameOf(
  { host, registry }: DockerContext,
  { config, host: own }: ContainerRecord,
  starting: boolean,
): string {
  const other = containerOfMode(own.NetworkMode);
  if (config.Hostname !== '' || other === undefined) return config.Hostname || host.hostname;
  return (starting ? registry.find(other).record.config.Hostname : '') || host.hostname;
}

function sysctlsOf({ config, host }: ContainerRecord): Readonly<Record<string, string>> | undefined {
  if (config.Domainname === '') return host.Sysctls;
  return { 'kernel.domainname': config.Domainname, ...host.Sysctls };
}

function namespaceModes(
  context: DockerContext,
  host: HostConfig,
  starting: boolean,
  own: 'container' | 'pod',
): SandboxNamespaceModes {
  const other = (mode: string): { readonly container: string } | undefined => {
    const reference = containerOfMode(mode);
    return reference === undefined || !starting ? undefined : { container: context.registry.find(reference).id };
  };
  const { NetworkMode: network, PidMode: pid, IpcMode: ipc, UTSMode: uts } = host;
  const ownIpc = ipc === 'none' ? 'none' : ipc === 'private' ? own : 'pod';
  return {
    network: other(network) ?? (network === 'host' ? 'node' : 'unmanaged'),
    pid: other(pid) ?? (pid === 'host' ? 'node' : 'container'),
    ipc: other(ipc) ?? (ipc === 'host' ? 'node' : ownIpc),
    uts: uts === 'host' ? 'node' : own,
    cgroup: host.CgroupnsMode === 'private' ? 'private' : 'host',
  };
}
