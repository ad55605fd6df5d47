import type { V1Service } from '@wherry/api';

/**
 * The variables by which a pod finds services (`WEB_SERVICE_HOST`, docker-link style `WEB_PORT_80_TCP…`):
 * the services of its own namespace when `links` is set, and `kubernetes` of `default` always.
 */
export function serviceEnvironment(
  services: readonly V1Service[],
  namespace: string,
  links: boolean,
): ReadonlyMap<string, string> {
  const chosen = new Map<string, V1Service>();
  for (const service of services) {
    const { name = '', namespace: home } = service.metadata ?? {};
    const ip = service.spec?.clusterIP;
    if (!ip || ip === 'None') continue;
    const master = home === 'default' && name === 'kubernetes';
    if (master && !chosen.has(name)) chosen.set(name, service);
    // A service of the pod's own namespace wins over the master's name.
    else if (links && home === namespace) chosen.set(name, service);
  }
  const variables = new Map<string, string>();
  for (const [name, service] of chosen) addService(variables, name, service);
  return variables;
}

function addService(variables: Map<string, string>, name: string, service: V1Service): void {
  const ports = service.spec?.ports ?? [];
  const first = ports[0];
  const ip = service.spec?.clusterIP ?? '';
  const prefix = variableName(name);
  const host = ip.includes(':') ? `[${ip}]` : ip;
  if (first === undefined) return;
  variables.set(`${prefix}_SERVICE_HOST`, ip);
  variables.set(`${prefix}_SERVICE_PORT`, String(first.port));
  for (const port of ports)
    if (port.name) variables.set(`${prefix}_SERVICE_PORT_${variableName(port.name)}`, String(port.port));
  variables.set(`${prefix}_PORT`, `${(first.protocol ?? 'TCP').toLowerCase()}://${host}:${first.port}`);
  for (const port of ports) {
    const protocol = port.protocol ?? 'TCP';
    const start = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
    variables.set(start, `${protocol.toLowerCase()}://${host}:${port.port}`);
    variables.set(`${start}_PROTO`, protocol.toLowerCase());
    variables.set(`${start}_PORT`, String(port.port));
    variables.set(`${start}_ADDR`, ip);
  }
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}
