import type {
  V1ComponentStatus,
  V1EndpointSubset,
  V1Endpoints,
  V1LimitRange,
  V1PodTemplate,
  V1ReplicationController,
  V1ResourceQuota,
  V1ServiceAccount,
} from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { compareQuantity, isQuantity } from '../../quantity.ts';
import { validateRunningTemplate } from '../apps/template-rules.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { defaultPodTemplate } from '../pod/defaults.ts';
import { validatePodTemplate } from '../pod/validate-spec.ts';
import { checkChoice, checkName, checkNotNegative, checkPort } from '../shared/checks.ts';
import { ageColumn, labelsTextColumn, nameColumn, templateColumns } from '../shared/columns.ts';
import { labelsText } from '../shared/label-selector.ts';
import { ipAddressProblems, qualifiedNameProblems } from '../shared/names.ts';
import { validateResourceAmount } from '../shared/resources-validation.ts';

export const serviceAccountBehaviour = behaviourOf<V1ServiceAccount>({
  prepareForCreate: (account) => {
    // Token secrets are made on their own; a list given by a client stays as it is.
    if (account.secrets?.length === 0) delete account.secrets;
  },
  ...printer<V1ServiceAccount>([
    nameColumn,
    { name: 'Secrets', type: 'integer', cell: (account) => account.secrets?.length ?? 0 },
    ageColumn,
  ]),
});

/** The first addresses with each port, and how many more there are. */
function endpointsText(endpoints: V1Endpoints): string {
  const all = (endpoints.subsets ?? []).flatMap((subset: V1EndpointSubset) => {
    const addresses = (subset.addresses ?? []).map((address) => address.ip);
    if (!subset.ports?.length) return addresses;
    return subset.ports.flatMap((port) =>
      addresses.map((ip) => (ip?.includes(':') ? `[${ip}]:${port.port}` : `${ip}:${port.port}`)),
    );
  });
  if (all.length === 0) return '<none>';
  const shown = all.slice(0, 3).join(',');
  return all.length > 3 ? `${shown} + ${all.length - 3} more...` : shown;
}

function validateEndpoints(endpoints: V1Endpoints): FieldError[] {
  return (endpoints.subsets ?? []).flatMap((subset, index) => {
    const at = `subsets[${index}]`;
    const errors: FieldError[] = [];
    if (!subset.addresses?.length && !subset.notReadyAddresses?.length) {
      errors.push(field.required(at, 'must specify `addresses` or `notReadyAddresses`'));
    }
    for (const name of ['addresses', 'notReadyAddresses'] as const) {
      (subset[name] ?? []).forEach((address, i) => {
        errors.push(...checkName(address.ip, ipAddressProblems, `${at}.${name}[${i}].ip`));
      });
    }
    (subset.ports ?? []).forEach((port, i) => {
      if (!port.name && subset.ports!.length > 1) errors.push(field.required(`${at}.ports[${i}].name`));
      errors.push(...checkPort(port.port, `${at}.ports[${i}].port`));
      errors.push(...checkChoice(port.protocol, ['SCTP', 'TCP', 'UDP'], `${at}.ports[${i}].protocol`));
    });
    return errors;
  });
}

export const endpointsBehaviour = behaviourOf<V1Endpoints>({
  defaults: (endpoints) => {
    for (const subset of endpoints.subsets ?? []) for (const port of subset.ports ?? []) port.protocol ||= 'TCP';
  },
  validate: validateEndpoints,
  ...printer<V1Endpoints>([nameColumn, { name: 'Endpoints', cell: endpointsText }, ageColumn]),
});

function quotaText(quota: V1ResourceQuota, prefix: 'requests' | 'limits'): string {
  const hard = quota.status?.hard ?? quota.spec?.hard ?? {};
  const used = quota.status?.used ?? {};
  return Object.keys(hard)
    .filter((name) => name.startsWith('limits.') === (prefix === 'limits'))
    .sort()
    .map((name) => `${name}: ${used[name] ?? '0'}/${hard[name]}`)
    .join(', ');
}

export const resourceQuotaBehaviour = behaviourOf<V1ResourceQuota>({
  defaults: (quota) => {
    quota.spec ??= {};
    quota.status ??= {};
  },
  prepareForCreate: (quota) => {
    quota.status = {};
  },
  validate: (quota) =>
    Object.entries(quota.spec?.hard ?? {}).flatMap(([name, amount]) => [
      ...checkName(name, qualifiedNameProblems, 'spec.hard'),
      ...validateResourceAmount(name, amount, `spec.hard[${name}]`),
    ]),
  ...printer<V1ResourceQuota>([
    nameColumn,
    { name: 'Request', cell: (quota) => quotaText(quota, 'requests') },
    { name: 'Limit', cell: (quota) => quotaText(quota, 'limits') },
    ageColumn,
  ]),
});

function defaultLimitRange(range: V1LimitRange): void {
  range.spec ??= { limits: [] };
  for (const item of range.spec.limits ?? []) {
    if (item.type !== 'Container') continue;
    if (item.max && Object.keys(item.max).length > 0) item.default = { ...item.max, ...item.default };
    const requests = { ...item.min, ...item.default, ...item.defaultRequest };
    if (Object.keys(requests).length > 0) item.defaultRequest = requests;
  }
}

function validateLimitRange(range: V1LimitRange): FieldError[] {
  const types = new Set<string>();
  return (range.spec?.limits ?? []).flatMap((item, index) => {
    const at = `spec.limits[${index}]`;
    const errors: FieldError[] = checkName(item.type, qualifiedNameProblems, `${at}.type`);
    if (types.has(item.type)) errors.push(field.duplicate(`${at}.type`, item.type));
    types.add(item.type);
    for (const [name, low] of Object.entries(item.min ?? {})) {
      const high = item.max?.[name];
      if (high !== undefined && isQuantity(low) && isQuantity(high) && compareQuantity(low, high) > 0) {
        const words = `min value ${low} is greater than max value ${high}`;
        errors.push(field.invalid(`${at}.min[${name}]`, low, words));
      }
    }
    return errors;
  });
}

export const limitRangeBehaviour = behaviourOf<V1LimitRange>({
  defaults: defaultLimitRange,
  validate: validateLimitRange,
  ...printer<V1LimitRange>([
    nameColumn,
    { name: 'Created At', cell: (range) => range.metadata?.creationTimestamp ?? '' },
  ]),
});

export const podTemplateBehaviour = behaviourOf<V1PodTemplate>({
  defaults: (object) => {
    defaultPodTemplate(object);
  },
  validate: (object) => validatePodTemplate(object.template!, 'template'),
  specFields: ['template'],
  ...printer<V1PodTemplate>([
    nameColumn,
    { name: 'Containers', cell: (o) => (o.template?.spec?.containers ?? []).map((c) => c.name).join(',') },
    { name: 'Images', cell: (o) => (o.template?.spec?.containers ?? []).map((c) => c.image ?? '').join(',') },
    labelsTextColumn('Pod Labels', (o: V1PodTemplate) => o.template?.metadata?.labels),
  ]),
});

export const replicationControllerBehaviour = behaviourOf<V1ReplicationController>({
  defaults: (controller) => {
    controller.spec ??= {};
    controller.status ??= { replicas: 0 };
    controller.status.replicas ??= 0;
    const template = defaultPodTemplate(controller.spec);
    const labels = template.metadata?.labels;
    if (labels && Object.keys(controller.spec.selector ?? {}).length === 0) controller.spec.selector = { ...labels };
    if (labels && controller.metadata && Object.keys(controller.metadata.labels ?? {}).length === 0) {
      controller.metadata.labels = { ...labels };
    }
    controller.spec.replicas ??= 1;
  },
  prepareForCreate: (controller) => {
    controller.status = { replicas: 0 };
  },
  validate: ({ spec }) => [
    ...checkNotNegative(spec!.minReadySeconds, 'spec.minReadySeconds'),
    ...(Object.keys(spec!.selector ?? {}).length === 0 ? [field.required('spec.selector')] : []),
    ...checkNotNegative(spec!.replicas, 'spec.replicas'),
    ...validateRunningTemplate(spec!.template!, { matchLabels: spec!.selector }, 'ReplicationController'),
  ],
  specFields: ['spec'],
  defaultPropagation: 'Orphan',
  selectableFields: (controller) => ({ 'status.replicas': String(controller.status?.replicas ?? 0) }),
  selectableFieldNames: ['status.replicas'],
  ...printer<V1ReplicationController>([
    nameColumn,
    { name: 'Desired', type: 'integer', cell: (rc) => rc.spec?.replicas ?? 0 },
    { name: 'Current', type: 'integer', cell: (rc) => rc.status?.replicas ?? 0 },
    { name: 'Ready', type: 'integer', cell: (rc) => rc.status?.readyReplicas ?? 0 },
    ageColumn,
    ...templateColumns<V1ReplicationController>(
      (rc) => rc.spec?.template,
      (rc) => labelsText(rc.spec?.selector),
    ),
  ]),
});

export const componentStatusBehaviour = behaviourOf<V1ComponentStatus>({
  ...printer<V1ComponentStatus>([
    nameColumn,
    {
      name: 'Status',
      cell: ({ conditions }) =>
        conditions?.find((c) => c.type === 'Healthy')?.status === 'True' ? 'Healthy' : 'Unhealthy',
    },
    { name: 'Message', cell: ({ conditions }) => conditions?.find((c) => c.type === 'Healthy')?.message ?? '' },
    { name: 'Error', cell: ({ conditions }) => conditions?.find((c) => c.type === 'Healthy')?.error ?? '' },
  ]),
});
