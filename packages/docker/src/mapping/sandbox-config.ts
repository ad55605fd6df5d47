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
  const { id, name, host, users } = record;
  const sysctls = sysctlsOf(record);
  // Sysctls are set before the container is made, in namespaces of the sandbox; others may as well be the container's.
  const own = Object.keys(sysctls ?? {}).every((sysctl) => sysctl.startsWith('net.')) ? 'container' : 'pod';
  return {
    id,
    metadata: { name, uid: id, namespace: 'docker', attempt: 0 },
    hostname: hostnameOf(context, record, starting) || context.host.hostname,
    logDirectory: context.store.folder(id),
    dns: undefined as DnsConfig | undefined,
    labels: { [dockerLabel]: 'true' },
    annotations: {},
    namespaces: { ...namespaceModes(context, host, starting, own), ...(users === undefined ? {} : { user: users }) },
    sharedMemoryBytes: host.ShmSize,
    sysctls,
    cgroupParent: host.CgroupParent === '' ? cgroup : host.CgroupParent.replace(/^\/+/, '') || cgroup,
    runtimeHandler: host.Runtime === context.runtimes[0] ? undefined : host.Runtime,
  };
}

/** One that joins another's network goes by that one's name. */
export function hostnameOf(context: DockerContext, { config, host }: ContainerRecord, starting: boolean): string {
  const owner = containerOfMode(host.NetworkMode);
  return owner === undefined || !starting ? config.Hostname : context.registry.find(owner).record.config.Hostname;
}

function sysctlsOf({ config, host }: ContainerRecord): Readonly<Record<string, string>> {
  const domain = config.Domainname === '' ? {} : { 'kernel.domainname': config.Domainname };
  const now = Object.entries(host.Sysctls ?? {}).filter(([name]) => !isOfInterface(name));
  return { ...domain, ...Object.fromEntries(now) };
}

/** Settings of interfaces are made when those are there; `all` concerns them, too. */
export function isOfInterface(sysctl: string): boolean {
  return /^net\.(?:ipv4|ipv6|mpls)\.(?:conf|neigh)\.(?!lo\.|default\.)/.test(sysctl);
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
