import type { V1Node } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { checkChoice, checkName, checkRequiredName } from '../shared/checks.ts';
import { ageColumn, nameColumn, orNone } from '../shared/columns.ts';
import { cidrProblems, labelValueProblems, qualifiedNameProblems } from '../shared/names.ts';

const rolePrefix = 'node-role.kubernetes.io/';

function statusText(node: V1Node): string {
  const ready = (node.status?.conditions ?? []).find((c) => c.type === 'Ready');
  const words = [ready ? (ready.status === 'True' ? 'Ready' : 'NotReady') : 'Unknown'];
  if (node.spec?.unschedulable) words.push('SchedulingDisabled');
  return words.join(',');
}

function rolesText(node: V1Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata?.labels ?? {})) {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) roles.add(key.slice(rolePrefix.length));
    else if (key === 'kubernetes.io/role' && value) roles.add(value);
  }
  return orNone([...roles].sort().join(','));
}

function addressText(node: V1Node, type: string): string {
  return orNone((node.status?.addresses ?? []).find((address) => address.type === type)?.address);
}

function unknown(value: string | undefined): string {
  return value || '<unknown>';
}

function validate(node: V1Node): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  (node.spec?.taints ?? []).forEach((taint, index) => {
    const at = `spec.taints[${index}]`;
    errors.push(...checkRequiredName(taint.key, qualifiedNameProblems, `${at}.key`));
    errors.push(...checkName(taint.value ?? '', labelValueProblems, `${at}.value`));
    errors.push(...checkChoice(taint.effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute'], `${at}.effect`));
    const id = `${taint.key}:${taint.effect}`;
    if (seen.has(id)) {
      errors.push({ ...field.duplicate(at, taint), detail: 'taints must be unique by key and effect pair' });
    }
    seen.add(id);
  });
  (node.spec?.podCIDRs ?? []).forEach((cidr, index) => {
    errors.push(...checkName(cidr, cidrProblems, `spec.podCIDRs[${index}]`));
  });
  return errors;
}

function validateUpdate(node: V1Node, old: V1Node): FieldError[] {
  const errors: FieldError[] = [];
  const was = old.spec?.podCIDRs ?? [];
  if (was.length > 0 && was.join() !== (node.spec?.podCIDRs ?? []).join()) {
    errors.push(field.forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'));
  }
  if (old.spec?.providerID && old.spec.providerID !== node.spec?.providerID) {
    errors.push(field.forbidden('spec.providerID', 'node updates may not change providerID except from "" to valid'));
  }
  return errors;
}

export const nodeBehaviour = behaviourOf<V1Node>({
  defaults: (node) => {
    node.spec ??= {};
    node.status ??= {};
    node.status.daemonEndpoints ??= { kubeletEndpoint: { Port: 0 } };
    const { capacity } = node.status;
    if (capacity && !node.status.allocatable) node.status.allocatable = { ...capacity };
    if (node.spec.podCIDR && !node.spec.podCIDRs) node.spec.podCIDRs = [node.spec.podCIDR];
    if (node.spec.podCIDRs?.[0]) node.spec.podCIDR ||= node.spec.podCIDRs[0];
  },
  validate,
  validateUpdate,
  selectableFields: (node) => ({ 'spec.unschedulable': String(node.spec?.unschedulable ?? false) }),
  selectableFieldNames: ['spec.unschedulable'],
  ...printer<V1Node>([
    nameColumn,
    { name: 'Status', cell: statusText },
    { name: 'Roles', cell: rolesText },
    ageColumn,
    { name: 'Version', cell: (node) => node.status?.nodeInfo?.kubeletVersion ?? '' },
    { name: 'Internal-IP', wide: true, cell: (node) => addressText(node, 'InternalIP') },
    { name: 'External-IP', wide: true, cell: (node) => addressText(node, 'ExternalIP') },
    { name: 'OS-Image', wide: true, cell: (node) => unknown(node.status?.nodeInfo?.osImage) },
    { name: 'Kernel-Version', wide: true, cell: (node) => unknown(node.status?.nodeInfo?.kernelVersion) },
    {
      name: 'Container-Runtime',
      wide: true,
      cell: (node) => unknown(node.status?.nodeInfo?.containerRuntimeVersion),
    },
  ]),
});
