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
  const { id, name, config, host } = record;
  return {
    id,
    metadata: { name, uid: id, namespace: 'docker', attempt: 0 },
    hostname: config.Hostname === '' ? context.host.hostname : config.Hostname,
    logDirectory: context.store.folder(id),
    dns: undefined as DnsConfig | undefined,
    labels: { [dockerLabel]: 'true' },
    annotations: {},
    namespaces: namespaceModes(context, host, starting),
    sharedMemoryBytes: host.ShmSize,
    sysctls: host.Sysctls,
    cgroupParent: host.CgroupParent === '' ? cgroup : host.CgroupParent.replace(/^\/+/, '') || cgroup,
    runtimeHandler: host.Runtime === context.runtimes[0] ? undefined : host.Runtime,
  };
}

function namespaceModes(context: DockerContext, host: HostConfig, starting: boolean): SandboxNamespaceModes {
  const other = (mode: string): { readonly container: string } | undefined => {
    const reference = containerOfMode(mode);
    return reference === undefined || !starting ? undefined : { container: context.registry.find(reference).id };
  };
  const { NetworkMode: network, PidMode: pid, IpcMode: ipc, UTSMode: uts } = host;
  return {
    network: other(network) ?? (network === 'host' ? 'node' : 'unmanaged'),
    pid: other(pid) ?? (pid === 'host' ? 'node' : 'container'),
    ipc: other(ipc) ?? (ipc === 'host' ? 'node' : ipc === 'none' ? 'none' : 'pod'),
    uts: uts === 'host' || network === 'host' ? 'node' : 'pod',
    cgroup: host.CgroupnsMode === 'private' ? 'private' : 'host',
  };
}
