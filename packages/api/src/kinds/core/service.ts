import type { V1Service, V1ServicePort, V1ServiceSpec } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { checkChoice, checkName, checkOptionalChoice, checkPort, checkRange } from '../shared/checks.ts';
import { ageColumn, labelsTextColumn, nameColumn, orNone } from '../shared/columns.ts';
import { validateLabels } from '../shared/metadata.ts';
import {
  cidrProblems,
  dnsLabelProblems,
  dnsSubdomainProblems,
  ipAddressProblems,
  validateServiceName,
} from '../shared/names.ts';

const external = new Set(['NodePort', 'LoadBalancer']);

function defaultPorts(ports: readonly V1ServicePort[] | undefined): void {
  for (const port of ports ?? []) {
    port.protocol ||= 'TCP';
    // Absent, 0 and "" all mean the port itself.
    port.targetPort ||= port.port;
  }
}

function defaults(service: V1Service): void {
  service.spec ??= {};
  service.status ??= {};
  service.status.loadBalancer ??= {};
  const spec = service.spec;
  spec.sessionAffinity ||= 'None';
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === 'ClientIP') {
    spec.sessionAffinityConfig ??= {};
    spec.sessionAffinityConfig.clientIP ??= {};
    spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= 10_800;
  }
  spec.type ||= 'ClusterIP';
  defaultPorts(spec.ports);
  if (external.has(spec.type) || (spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0)) {
    spec.externalTrafficPolicy ||= 'Cluster';
  }
  if (spec.type !== 'ExternalName') spec.internalTrafficPolicy ||= 'Cluster';
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
  if (spec.type === 'LoadBalancer')
    for (const ingress of service.status.loadBalancer.ingress ?? []) {
      if (ingress.ip) ingress.ipMode ??= 'VIP';
    }
}

function validatePorts(spec: V1ServiceSpec, headless: boolean): FieldError[] {
  const ports = spec.ports ?? [];
  const errors: FieldError[] = [];
  if (ports.length === 0 && !headless && spec.type !== 'ExternalName') errors.push(field.required('spec.ports'));
  const names = new Set<string>();
  ports.forEach((port, index) => {
    const at = `spec.ports[${index}]`;
    if (!port.name) {
      if (ports.length > 1) errors.push(field.required(`${at}.name`));
    } else {
      errors.push(...checkName(port.name, dnsLabelProblems, `${at}.name`));
      if (names.has(port.name)) errors.push(field.duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    errors.push(...checkPort(port.port, `${at}.port`));
    errors.push(...checkChoice(port.protocol, ['SCTP', 'TCP', 'UDP'], `${at}.protocol`));
    errors.push(...checkPort(port.targetPort, `${at}.targetPort`));
    if (
      headless &&
      port.targetPort !== port.port &&
      typeof port.targetPort === 'number' &&
      spec.type === 'ExternalName'
    ) {
      errors.push(
        field.invalid(
          `${at}.targetPort`,
          port.targetPort,
          "must be equal to the value of 'port' when clusterIP = None",
        ),
      );
    }
  });
  const used = new Set<string>();
  ports.forEach((port, index) => {
    const key = `${port.protocol}/${port.port}`;
    if (used.has(key)) {
      errors.push(field.duplicate(`spec.ports[${index}]`, { protocol: port.protocol, port: port.port }));
    }
    used.add(key);
  });
  return errors;
}

function validateNodePorts(spec: V1ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const used = new Set<string>();
  (spec.ports ?? []).forEach((port, index) => {
    if (!port.nodePort) return;
    const at = `spec.ports[${index}].nodePort`;
    if (!external.has(spec.type ?? '')) {
      errors.push(field.forbidden(at, `may not be used when \`type\` is '${spec.type}'`));
      return;
    }
    const key = `${port.protocol}/${port.nodePort}`;
    if (used.has(key)) errors.push(field.duplicate(at, port.nodePort));
    used.add(key);
  });
  return errors;
}

function validateClusterIps(spec: V1ServiceSpec): FieldError[] {
  const addresses = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
  const errors: FieldError[] = [];
  if (spec.type === 'ExternalName') {
    if (addresses.length > 0) {
      errors.push(field.forbidden('spec.clusterIPs', "may not be set when `type` is 'ExternalName'"));
    }
    if ((spec.ipFamilies ?? []).length > 0) {
      errors.push(field.forbidden('spec.ipFamilies', "may not be set when `type` is 'ExternalName'"));
    }
    return errors;
  }
  if (spec.clusterIP && spec.clusterIPs && spec.clusterIPs[0] !== spec.clusterIP) {
    errors.push(field.invalid('spec.clusterIPs', spec.clusterIPs, 'first value must match `clusterIP`'));
  }
  if (addresses.includes('None') && addresses.length > 1) {
    errors.push(field.invalid('spec.clusterIPs', addresses, "'None' must be the first and only value"));
  }
  if (addresses.length > 2) {
    errors.push(field.invalid('spec.clusterIPs', addresses, 'may only hold up to 2 values'));
  }
  addresses.forEach((address, index) => {
    if (address !== 'None') errors.push(...checkName(address, ipAddressProblems, `spec.clusterIPs[${index}]`));
  });
  const families = spec.ipFamilies ?? [];
  families.forEach((family, index) => {
    errors.push(...checkOptionalChoice(family, ['IPv4', 'IPv6'], `spec.ipFamilies[${index}]`));
  });
  errors.push(
    ...checkOptionalChoice(
      spec.ipFamilyPolicy,
      ['PreferDualStack', 'RequireDualStack', 'SingleStack'],
      'spec.ipFamilyPolicy',
    ),
  );
  return errors;
}

function validateTraffic(spec: V1ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const policies = ['Cluster', 'Local'];
  const hasExternal = external.has(spec.type ?? '') || (spec.externalIPs ?? []).length > 0;
  if (spec.externalTrafficPolicy !== undefined) {
    if (!hasExternal) {
      errors.push(
        field.invalid(
          'spec.externalTrafficPolicy',
          spec.externalTrafficPolicy,
          'may only be set for externally-accessible services',
        ),
      );
    } else errors.push(...checkOptionalChoice(spec.externalTrafficPolicy, policies, 'spec.externalTrafficPolicy'));
  }
  if (spec.type !== 'ExternalName') {
    errors.push(...checkOptionalChoice(spec.internalTrafficPolicy, policies, 'spec.internalTrafficPolicy'));
  }
  const balanced = spec.type === 'LoadBalancer';
  if (!balanced && spec.allocateLoadBalancerNodePorts !== undefined) {
    const words = "may only be used when `type` is 'LoadBalancer'";
    errors.push(field.forbidden('spec.allocateLoadBalancerNodePorts', words));
  }
  if (!balanced && spec.loadBalancerClass !== undefined) {
    errors.push(field.forbidden('spec.loadBalancerClass', "may only be used when `type` is 'LoadBalancer'"));
  }
  (spec.loadBalancerSourceRanges ?? []).forEach((range, index) => {
    errors.push(...checkName(range.trim(), cidrProblems, `spec.loadBalancerSourceRanges[${index}]`));
  });
  (spec.externalIPs ?? []).forEach((address, index) => {
    errors.push(...checkName(address, ipAddressProblems, `spec.externalIPs[${index}]`));
  });
  const distributions = ['PreferClose', 'PreferSameZone', 'PreferSameNode'];
  errors.push(...checkOptionalChoice(spec.trafficDistribution, distributions, 'spec.trafficDistribution'));
  return errors;
}

function validateAffinity(spec: V1ServiceSpec): FieldError[] {
  const errors = checkChoice(spec.sessionAffinity, ['ClientIP', 'None'], 'spec.sessionAffinity');
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (spec.sessionAffinity === 'ClientIP' && seconds !== undefined && (seconds <= 0 || seconds > 86_400)) {
    const at = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
    errors.push(field.invalid(at, seconds, 'must be greater than 0 and less than 86400'));
  }
  return errors;
}

/**
 * Checks a Service apart from what needs the allocators (`spec.clusterIP` within the range, node
 * ports within theirs and free), which the registry does when it allocates.
 */
export function validateService(service: V1Service): FieldError[] {
  const spec = service.spec!;
  const headless = spec.clusterIP === 'None';
  const errors: FieldError[] = [];
  const types = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
  errors.push(...checkChoice(spec.type, types, 'spec.type'));
  if (headless && external.has(spec.type ?? '')) {
    errors.push(field.invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`));
  }
  if (spec.type === 'ExternalName') {
    if (!spec.externalName) errors.push(field.required('spec.externalName'));
    else errors.push(...checkName(spec.externalName.replace(/\.$/, ''), dnsSubdomainProblems, 'spec.externalName'));
  }
  errors.push(
    ...validatePorts(spec, headless),
    ...validateLabels(spec.selector, 'spec.selector'),
    ...validateAffinity(spec),
    ...validateClusterIps(spec),
    ...validateNodePorts(spec),
    ...validateTraffic(spec),
  );
  if (spec.healthCheckNodePort) {
    errors.push(...checkRange(spec.healthCheckNodePort, 1, 65535, 'spec.healthCheckNodePort'));
  }
  return errors;
}

function keepsAddress(spec: V1ServiceSpec): boolean {
  return spec.type !== 'ExternalName';
}

/**
 * The families of a Service on a cluster with IPv4 service addresses only. A headless Service
 * without a selector stands for addresses that somebody else writes, of either family.
 */
function settleFamilies(spec: V1ServiceSpec): void {
  if (!keepsAddress(spec)) return;
  const foreign = spec.clusterIP === 'None' && Object.keys(spec.selector ?? {}).length === 0;
  spec.ipFamilyPolicy ??= foreign ? 'RequireDualStack' : 'SingleStack';
  if (spec.ipFamilies?.length) return;
  const first = spec.clusterIP?.includes(':') ? 'IPv6' : 'IPv4';
  const both = foreign && spec.ipFamilyPolicy !== 'SingleStack';
  spec.ipFamilies = both ? [first, first === 'IPv4' ? 'IPv6' : 'IPv4'] : [first];
}

/** An update that leaves allocated values out keeps them; a change of type drops what no longer applies. */
function prepareForUpdate(service: V1Service, old: V1Service): void {
  const spec = service.spec!;
  const was = old.spec ?? {};
  if (keepsAddress(spec) && keepsAddress(was)) {
    if (!spec.clusterIP) spec.clusterIP = was.clusterIP;
    if (!spec.clusterIPs?.length && spec.clusterIP === was.clusterIP) spec.clusterIPs = was.clusterIPs;
    spec.ipFamilies ??= was.ipFamilies;
    spec.ipFamilyPolicy ??= was.ipFamilyPolicy;
  } else if (!keepsAddress(spec) && keepsAddress(was)) {
    if (spec.clusterIP === was.clusterIP) {
      for (const name of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy'] as const) delete spec[name];
    }
    delete spec.internalTrafficPolicy;
  }
  if (external.has(spec.type ?? '')) {
    for (const port of spec.ports ?? []) {
      port.nodePort ||= was.ports?.find((p) => p.port === port.port && p.protocol === port.protocol)?.nodePort;
    }
  } else if (external.has(was.type ?? '')) {
    dropExternal(spec, was);
  }
  if (spec.type !== 'LoadBalancer') {
    delete spec.allocateLoadBalancerNodePorts;
    if (spec.loadBalancerClass === was.loadBalancerClass) delete spec.loadBalancerClass;
  }
  settleFamilies(spec);
}

function dropExternal(spec: V1ServiceSpec, was: V1ServiceSpec): void {
  for (const [index, port] of (spec.ports ?? []).entries()) {
    if (port.nodePort === was.ports?.[index]?.nodePort) delete port.nodePort;
  }
  if ((spec.externalIPs ?? []).length === 0) delete spec.externalTrafficPolicy;
  delete spec.healthCheckNodePort;
}

function validateUpdate(service: V1Service, old: V1Service): FieldError[] {
  const [spec, was] = [service.spec!, old.spec!];
  const errors: FieldError[] = [];
  const both = keepsAddress(spec) && keepsAddress(was);
  if (both && was.clusterIP && spec.clusterIP !== was.clusterIP) {
    errors.push(
      field.invalid('spec.clusterIPs[0]', spec.clusterIPs?.[0] ?? spec.clusterIP ?? '', 'may not change once set'),
    );
  }
  if (was.type === 'LoadBalancer' && spec.type === 'LoadBalancer' && was.loadBalancerClass !== spec.loadBalancerClass) {
    errors.push(field.invalid('spec.loadBalancerClass', spec.loadBalancerClass ?? null, 'may not change once set'));
  }
  return errors;
}

function portText(port: V1ServicePort): string {
  return port.nodePort ? `${port.port}:${port.nodePort}/${port.protocol}` : `${port.port}/${port.protocol}`;
}

function externalText(service: V1Service, wide: boolean): string {
  const spec = service.spec ?? {};
  if (spec.type === 'ExternalName') return orNone(spec.externalName);
  const given = spec.externalIPs ?? [];
  if (spec.type !== 'LoadBalancer') return orNone(given.join(','));
  const ingress = (service.status?.loadBalancer?.ingress ?? []).map((i) => i.ip || i.hostname || '').filter(Boolean);
  const joined = ingress.join(',');
  // Long lists of balancers are cut so that the table stays readable.
  const shown = joined.length > 16 && !wide ? `${joined.slice(0, 13)}...` : joined;
  const all = [...(shown ? [shown] : []), ...given].join(',');
  return all || '<pending>';
}

export const serviceBehaviour = behaviourOf<V1Service>({
  defaults,
  prepareForCreate: (service) => {
    service.status = { loadBalancer: {} };
    settleFamilies(service.spec!);
  },
  prepareForUpdate,
  validate: validateService,
  validateUpdate,
  validateName: validateServiceName,
  selectableFields: (service) => ({
    'spec.clusterIP': service.spec?.clusterIP ?? '',
    'spec.type': service.spec?.type ?? '',
  }),
  selectableFieldNames: ['spec.clusterIP', 'spec.type'],
  ...printer<V1Service>([
    nameColumn,
    { name: 'Type', cell: (service) => service.spec?.type ?? '' },
    { name: 'Cluster-IP', cell: (service) => orNone(service.spec?.clusterIP) },
    { name: 'External-IP', cell: (service) => externalText(service, false) },
    { name: 'Port(s)', cell: (service) => orNone((service.spec?.ports ?? []).map(portText).join(',')) },
    ageColumn,
    labelsTextColumn('Selector', (service: V1Service) => service.spec?.selector, true),
  ]),
});
