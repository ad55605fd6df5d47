import type {
  V1EndpointSlice,
  V1Ingress,
  V1IngressClass,
  V1IPAddress,
  V1Lease,
  V1NetworkPolicy,
  V1ServiceCIDR,
} from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { checkChoice, checkImmutable, checkName, checkOptionalChoice, checkPort } from '../shared/checks.ts';
import { ageColumn, nameColumn, orNone } from '../shared/columns.ts';
import { selectorText, validateLabelSelector } from '../shared/label-selector.ts';
import { cidrProblems, dnsSubdomainProblems, ipAddressProblems } from '../shared/names.ts';

/** Up to three, and how many more there are. */
function fewText(items: readonly string[]): string {
  const shown = items.slice(0, 3).join(',');
  return items.length > 3 ? `${shown} + ${items.length - 3} more...` : shown;
}

function slicePorts(slice: V1EndpointSlice): string {
  const ports = slice.ports ?? [];
  if (ports.length === 0) return '<unset>';
  return fewText(ports.map((port) => (port.port ? String(port.port) : port.name || '*')));
}

function sliceAddresses(slice: V1EndpointSlice): string {
  const addresses = (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses ?? []);
  return addresses.length === 0 ? '<unset>' : fewText(addresses);
}

function validateSlice(slice: V1EndpointSlice): FieldError[] {
  const errors = checkChoice(slice.addressType, ['FQDN', 'IPv4', 'IPv6'], 'addressType');
  if ((slice.endpoints ?? []).length > 1000) errors.push(field.tooMany('endpoints', slice.endpoints!.length, 1000));
  (slice.endpoints ?? []).forEach((endpoint, index) => {
    const at = `endpoints[${index}].addresses`;
    const addresses = endpoint.addresses ?? [];
    if (addresses.length === 0) errors.push(field.required(at, 'must contain at least 1 address'));
    if (addresses.length > 100) errors.push(field.tooMany(at, addresses.length, 100));
    const rule = slice.addressType === 'FQDN' ? dnsSubdomainProblems : ipAddressProblems;
    addresses.forEach((address, i) => {
      errors.push(...checkName(address, rule, `${at}[${i}]`));
    });
  });
  const names = new Set<string>();
  (slice.ports ?? []).forEach((port, index) => {
    if (names.has(port.name ?? '')) errors.push(field.duplicate(`ports[${index}].name`, port.name ?? ''));
    names.add(port.name ?? '');
    errors.push(...checkOptionalChoice(port.protocol, ['SCTP', 'TCP', 'UDP'], `ports[${index}].protocol`));
  });
  return errors;
}

export const endpointSliceBehaviour = behaviourOf<V1EndpointSlice>({
  defaults: (slice) => {
    for (const port of slice.ports ?? []) {
      port.name ??= '';
      port.protocol ??= 'TCP';
    }
  },
  validate: validateSlice,
  validateUpdate: (slice, old) =>
    checkImmutable(slice.addressType === old.addressType, slice.addressType, 'addressType'),
  specFields: ['endpoints', 'ports', 'addressType'],
  ...printer<V1EndpointSlice>([
    nameColumn,
    { name: 'AddressType', cell: (slice) => slice.addressType },
    { name: 'Ports', cell: slicePorts },
    { name: 'Endpoints', cell: sliceAddresses },
    ageColumn,
  ]),
});

export const leaseBehaviour = behaviourOf<V1Lease>({
  validate: ({ spec = {} }) => {
    const errors: FieldError[] = [];
    if (spec.leaseDurationSeconds !== undefined && spec.leaseDurationSeconds <= 0) {
      errors.push(field.invalid('spec.leaseDurationSeconds', spec.leaseDurationSeconds, 'must be greater than 0'));
    }
    if ((spec.leaseTransitions ?? 0) < 0) {
      errors.push(field.invalid('spec.leaseTransitions', spec.leaseTransitions, 'must be greater than or equal to 0'));
    }
    return errors;
  },
  ...printer<V1Lease>([nameColumn, { name: 'Holder', cell: (lease) => lease.spec?.holderIdentity ?? '' }, ageColumn]),
});

function ingressHosts(ingress: V1Ingress): string {
  const hosts = (ingress.spec?.rules ?? []).map((rule) => rule.host).filter((host): host is string => Boolean(host));
  return hosts.length === 0 ? '*' : fewText(hosts);
}

function ingressAddress(ingress: V1Ingress): string {
  return (ingress.status?.loadBalancer?.ingress ?? []).map((i) => i.ip || i.hostname || '').join(',');
}

function validateIngress(ingress: V1Ingress): FieldError[] {
  const spec = ingress.spec ?? {};
  const errors: FieldError[] = [];
  if (!spec.rules?.length && !spec.defaultBackend) {
    errors.push(field.invalid('spec', spec.rules ?? [], 'either `defaultBackend` or `rules` must be specified'));
  }
  (spec.rules ?? []).forEach((rule, index) => {
    const at = `spec.rules[${index}]`;
    const host = rule.host?.startsWith('*.') ? rule.host.slice(2) : rule.host;
    if (host) errors.push(...checkName(host, dnsSubdomainProblems, `${at}.host`));
    (rule.http?.paths ?? []).forEach((path, i) => {
      const where = `${at}.http.paths[${i}]`;
      const types = ['Exact', 'ImplementationSpecific', 'Prefix'];
      if (!path.pathType) errors.push(field.required(`${where}.pathType`, 'pathType must be specified'));
      else errors.push(...checkChoice(path.pathType, types, `${where}.pathType`));
      if (path.pathType !== 'ImplementationSpecific' && !path.path?.startsWith('/')) {
        errors.push(field.invalid(`${where}.path`, path.path ?? '', 'must be an absolute path'));
      }
      const backend = path.backend?.service;
      if (!backend && !path.backend?.resource) errors.push(field.required(`${where}.backend`));
      if (backend && !backend.port?.name) {
        errors.push(...checkPort(backend.port?.number, `${where}.backend.service.port.number`));
      }
    });
  });
  return errors;
}

export const ingressBehaviour = behaviourOf<V1Ingress>({
  defaults: (ingress) => {
    ingress.spec ??= {};
    ingress.status ??= {};
    ingress.status.loadBalancer ??= {};
  },
  prepareForCreate: (ingress) => {
    ingress.status = { loadBalancer: {} };
  },
  validate: validateIngress,
  specFields: ['spec'],
  ...printer<V1Ingress>([
    nameColumn,
    { name: 'Class', cell: (ingress) => orNone(ingress.spec?.ingressClassName) },
    { name: 'Hosts', cell: ingressHosts },
    { name: 'Address', cell: ingressAddress },
    { name: 'Ports', cell: (ingress) => (ingress.spec?.tls?.length ? '80, 443' : '80') },
    ageColumn,
  ]),
});

export const ingressClassBehaviour = behaviourOf<V1IngressClass>({
  validate: ({ spec }) =>
    spec?.controller && !spec.controller.includes('/')
      ? [field.invalid('spec.controller', spec.controller, 'must be a domain-prefixed path (such as "acme.io/foo")')]
      : [],
  validateUpdate: (now, old) =>
    checkImmutable(now.spec?.controller === old.spec?.controller, now.spec?.controller, 'spec.controller'),
  specFields: ['spec'],
  ...printer<V1IngressClass>([
    nameColumn,
    { name: 'Controller', cell: (c) => c.spec?.controller ?? '' },
    {
      name: 'Parameters',
      cell: ({ spec }) => {
        const p = spec?.parameters;
        return p ? `${p.kind}${p.apiGroup ? `.${p.apiGroup}` : ''}/${p.name}` : '<none>';
      },
    },
    ageColumn,
  ]),
});

function validateNetworkPolicy(policy: V1NetworkPolicy): FieldError[] {
  const spec = policy.spec;
  if (!spec) return [];
  const errors = validateLabelSelector(spec.podSelector, 'spec.podSelector');
  (spec.policyTypes ?? []).forEach((type, index) => {
    errors.push(...checkChoice(type, ['Egress', 'Ingress'], `spec.policyTypes[${index}]`));
  });
  const rules = [
    ...(spec.ingress ?? []).map((rule, i) => ({
      at: `spec.ingress[${i}]`,
      side: 'from',
      peers: rule.from,
      ports: rule.ports,
    })),
    ...(spec.egress ?? []).map((rule, i) => ({
      at: `spec.egress[${i}]`,
      side: 'to',
      peers: rule.to,
      ports: rule.ports,
    })),
  ];
  for (const rule of rules) {
    (rule.ports ?? []).forEach((port, i) => {
      const at = `${rule.at}.ports[${i}]`;
      errors.push(...checkOptionalChoice(port.protocol, ['SCTP', 'TCP', 'UDP'], `${at}.protocol`));
      if (port.port !== undefined) errors.push(...checkPort(port.port, `${at}.port`));
      if (port.endPort !== undefined && typeof port.port !== 'number') {
        errors.push(field.required(`${at}.port`, 'must be specified when endPort is specified'));
      }
    });
    (rule.peers ?? []).forEach((peer, i) => {
      const at = `${rule.at}.${rule.side}[${i}]`;
      if (peer.ipBlock && (peer.podSelector || peer.namespaceSelector)) {
        errors.push(field.forbidden(at, 'may not specify both ipBlock and another peer'));
      }
      if (peer.ipBlock) errors.push(...checkName(peer.ipBlock.cidr, cidrProblems, `${at}.ipBlock.cidr`));
      errors.push(...validateLabelSelector(peer.podSelector, `${at}.podSelector`));
      errors.push(...validateLabelSelector(peer.namespaceSelector, `${at}.namespaceSelector`));
      if (!peer.ipBlock && !peer.podSelector && !peer.namespaceSelector) {
        errors.push(field.required(at, 'must specify a peer'));
      }
    });
  }
  return errors;
}

export const networkPolicyBehaviour = behaviourOf<V1NetworkPolicy>({
  defaults: (policy) => {
    policy.spec ??= { podSelector: {} };
    policy.spec.podSelector ??= {};
    if (!policy.spec.policyTypes?.length) {
      policy.spec.policyTypes = policy.spec.egress?.length ? ['Ingress', 'Egress'] : ['Ingress'];
    }
    for (const rule of [...(policy.spec.ingress ?? []), ...(policy.spec.egress ?? [])]) {
      for (const port of rule.ports ?? []) port.protocol ??= 'TCP';
    }
  },
  validate: validateNetworkPolicy,
  specFields: ['spec'],
  ...printer<V1NetworkPolicy>([
    nameColumn,
    { name: 'Pod-Selector', cell: (policy) => selectorText(policy.spec?.podSelector) },
    ageColumn,
  ]),
});

export const ipAddressBehaviour = behaviourOf<V1IPAddress>({
  validateName: (name) => ipAddressProblems(name),
  validate: ({ spec }) => (spec?.parentRef ? [] : [field.required('spec.parentRef')]),
  specFields: ['spec'],
  ...printer<V1IPAddress>([
    nameColumn,
    {
      name: 'ParentRef',
      cell: ({ spec }) => {
        const parent = spec?.parentRef;
        const parts = [
          parent?.group ? `${parent.resource}.${parent.group}` : parent?.resource,
          parent?.namespace,
          parent?.name,
        ];
        return parts.filter(Boolean).join('/');
      },
    },
    ageColumn,
  ]),
});

export const serviceCidrBehaviour = behaviourOf<V1ServiceCIDR>({
  validate: ({ spec }) => (spec?.cidrs ?? []).flatMap((cidr, i) => checkName(cidr, cidrProblems, `spec.cidrs[${i}]`)),
  specFields: ['spec'],
  ...printer<V1ServiceCIDR>([
    nameColumn,
    { name: 'CIDRs', cell: ({ spec }) => (spec?.cidrs ?? []).join(',') },
    ageColumn,
  ]),
});
