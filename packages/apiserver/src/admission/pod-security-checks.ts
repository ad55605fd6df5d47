import { allContainers, type V1Container, type V1Pod, type V1PodSpec, type V1SecurityContext } from '@wherry/api';

/** A rule that a pod breaks: its name and where. */
export interface Violation {
  readonly rule: string;
  readonly detail: string;
}

type Check = (pod: V1Pod, spec: V1PodSpec) => Violation | undefined;

const baselineCapabilities = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]);
const safeSysctls = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
]);
const restrictedVolumes = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

function quoted(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(', ');
}

function containersText(names: readonly string[]): string {
  return `${names.length === 1 ? 'container' : 'containers'} ${quoted(names)}`;
}

function bad(spec: V1PodSpec, test: (context: V1SecurityContext, container: V1Container) => boolean): string[] {
  return allContainers(spec)
    .filter((container) => test(container.securityContext ?? {}, container))
    .map((container) => container.name);
}

const hostNamespaces: Check = (_pod, spec) => {
  const used = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((name) => spec[name]);
  return used.length === 0
    ? undefined
    : { rule: 'host namespaces', detail: used.map((name) => `${name}=true`).join(', ') };
};

const privileged: Check = (_pod, spec) => {
  const names = bad(spec, (context) => context.privileged === true);
  if (names.length === 0) return undefined;
  return { rule: 'privileged', detail: `${containersText(names)} must not set securityContext.privileged=true` };
};

const baselineAdded: Check = (_pod, spec) => {
  const added = new Set<string>();
  const names = bad(spec, (context) => {
    const over = (context.capabilities?.add ?? []).filter((name) => !baselineCapabilities.has(name));
    for (const name of over) added.add(name);
    return over.length > 0;
  });
  if (names.length === 0) return undefined;
  const words = `must not include ${quoted([...added].sort())} in securityContext.capabilities.add`;
  return { rule: 'non-default capabilities', detail: `${containersText(names)} ${words}` };
};

const hostPath: Check = (_pod, spec) => {
  const names = (spec.volumes ?? []).filter((volume) => volume.hostPath).map((volume) => volume.name);
  if (names.length === 0) return undefined;
  return { rule: 'hostPath volumes', detail: `${names.length === 1 ? 'volume' : 'volumes'} ${quoted(names)}` };
};

const hostPorts: Check = (_pod, spec) => {
  const ports = new Set<number>();
  const names = bad(spec, (_context, container) => {
    const used = (container.ports ?? []).map((port) => port.hostPort ?? 0).filter((port) => port !== 0);
    for (const port of used) ports.add(port);
    return used.length > 0;
  });
  if (names.length === 0) return undefined;
  const list = [...ports].sort((a, b) => a - b).join(', ');
  return {
    rule: 'hostPort',
    detail: `${containersText(names)} ${ports.size === 1 ? 'uses hostPort' : 'use hostPorts'} ${list}`,
  };
};

const procMount: Check = (_pod, spec) => {
  const names = bad(spec, (context) => context.procMount !== undefined && context.procMount !== 'Default');
  if (names.length === 0) return undefined;
  return { rule: 'procMount', detail: `${containersText(names)} must not set securityContext.procMount` };
};

const unconfined: Check = (_pod, spec) => {
  const names = bad(spec, (context) => context.seccompProfile?.type === 'Unconfined');
  const whole = spec.securityContext?.seccompProfile?.type === 'Unconfined';
  if (names.length === 0 && !whole) return undefined;
  const who = [...(whole ? ['pod'] : []), ...(names.length > 0 ? [containersText(names)] : [])].join(' and ');
  return { rule: 'seccompProfile', detail: `${who} must not set securityContext.seccompProfile.type to "Unconfined"` };
};

const sysctls: Check = (_pod, spec) => {
  const names = (spec.securityContext?.sysctls ?? [])
    .map((sysctl) => sysctl.name)
    .filter((name) => !safeSysctls.has(name));
  return names.length === 0 ? undefined : { rule: 'forbidden sysctls', detail: names.join(', ') };
};

const escalation: Check = (_pod, spec) => {
  const names = bad(spec, (context) => context.allowPrivilegeEscalation !== false);
  if (names.length === 0) return undefined;
  const words = 'must set securityContext.allowPrivilegeEscalation=false';
  return { rule: 'allowPrivilegeEscalation != false', detail: `${containersText(names)} ${words}` };
};

const dropAll: Check = (_pod, spec) => {
  const keeping = bad(spec, (context) => !(context.capabilities?.drop ?? []).includes('ALL'));
  const adding = bad(spec, (context) => (context.capabilities?.add ?? []).some((name) => name !== 'NET_BIND_SERVICE'));
  if (keeping.length === 0 && adding.length === 0) return undefined;
  const parts: string[] = [];
  if (keeping.length > 0) parts.push(`${containersText(keeping)} must set securityContext.capabilities.drop=["ALL"]`);
  if (adding.length > 0) {
    parts.push(
      `${containersText(adding)} must not include anything but "NET_BIND_SERVICE" in securityContext.capabilities.add`,
    );
  }
  return { rule: 'unrestricted capabilities', detail: parts.join('; ') };
};

const volumeTypes: Check = (_pod, spec) => {
  const types = new Set<string>();
  const names = (spec.volumes ?? [])
    .filter((volume) => {
      const over = Object.keys(volume).filter((key) => key !== 'name' && !restrictedVolumes.has(key));
      for (const type of over) types.add(type);
      return over.length > 0;
    })
    .map((volume) => volume.name);
  if (names.length === 0) return undefined;
  const noun = names.length === 1 ? 'volume' : 'volumes';
  const verb = names.length === 1 ? 'uses' : 'use';
  return {
    rule: 'restricted volume types',
    detail: `${noun} ${quoted(names)} ${verb} restricted volume ${types.size === 1 ? 'type' : 'types'} ${quoted([...types].sort())}`,
  };
};

const nonRoot: Check = (_pod, spec) => {
  const whole = spec.securityContext?.runAsNonRoot === true;
  const names = bad(spec, (c) => c.runAsNonRoot === false || (c.runAsNonRoot === undefined && !whole));
  if (names.length === 0) return undefined;
  return {
    rule: 'runAsNonRoot != true',
    detail: `pod or ${containersText(names)} must set securityContext.runAsNonRoot=true`,
  };
};

const rootUser: Check = (_pod, spec) => {
  const names = bad(spec, (context) => context.runAsUser === 0);
  const whole = spec.securityContext?.runAsUser === 0;
  if (names.length === 0 && !whole) return undefined;
  const who = [...(whole ? ['pod'] : []), ...(names.length > 0 ? [containersText(names)] : [])].join(' and ');
  return { rule: 'runAsUser=0', detail: `${who} must not set runAsUser=0` };
};

const confined: Check = (_pod, spec) => {
  const good = (type: string | undefined) => type === 'RuntimeDefault' || type === 'Localhost';
  const whole = good(spec.securityContext?.seccompProfile?.type);
  const names = bad(spec, ({ seccompProfile }) => (seccompProfile ? !good(seccompProfile.type) : !whole));
  if (names.length === 0) return undefined;
  const words = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"';
  return { rule: 'seccompProfile', detail: `pod or ${containersText(names)} ${words}` };
};

const baseline: readonly Check[] = [
  hostNamespaces,
  privileged,
  baselineAdded,
  hostPath,
  hostPorts,
  procMount,
  unconfined,
  sysctls,
];
const restricted: readonly Check[] = [
  hostNamespaces,
  privileged,
  hostPorts,
  procMount,
  sysctls,
  escalation,
  dropAll,
  volumeTypes,
  nonRoot,
  rootUser,
  confined,
];

/** What a pod breaks of a level of the Pod Security Standards; nothing for `privileged`. */
export function podSecurityViolations(level: string, pod: V1Pod): Violation[] {
  const checks = level === 'baseline' ? baseline : level === 'restricted' ? restricted : [];
  const spec = pod.spec ?? { containers: [] };
  return checks.map((check) => check(pod, spec)).filter((violation): violation is Violation => violation !== undefined);
}
