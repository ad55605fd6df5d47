import type {
  V1PersistentVolume,
  V1PersistentVolumeClaim,
  V1PersistentVolumeClaimSpec,
} from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { compareQuantity, isQuantity } from '../../quantity.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { checkChoice, checkImmutable, checkOptionalChoice } from '../shared/checks.ts';
import { ageColumn, nameColumn } from '../shared/columns.ts';
import { sameValue } from '../shared/equality.ts';
import { validateLabelSelector } from '../shared/label-selector.ts';

const accessModes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
const shortModes: Readonly<Record<string, string>> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

function modesText(modes: readonly string[] | undefined): string {
  return Object.keys(shortModes)
    .filter((mode) => modes?.includes(mode))
    .map((mode) => shortModes[mode])
    .join(',');
}

function checkModes(modes: readonly string[] | undefined, path: string): FieldError[] {
  if (!modes?.length) return [field.required(path, 'at least 1 access mode is required')];
  const errors = modes.flatMap((mode) => checkChoice(mode, accessModes, path));
  if (modes.includes('ReadWriteOncePod') && modes.length > 1) {
    errors.push(field.forbidden(path, 'may not use ReadWriteOncePod with other access modes'));
  }
  return errors;
}

function checkStorage(amount: string | undefined, path: string): FieldError[] {
  if (amount === undefined) return [field.required(`${path}[storage]`)];
  return isQuantity(amount) && compareQuantity(amount, '0') > 0
    ? []
    : [field.invalid(`${path}[storage]`, amount, 'must be greater than zero')];
}

/** Checks the spec of a claim at `path`. */
export function validateClaimSpec(spec: V1PersistentVolumeClaimSpec, path: string): FieldError[] {
  return [
    ...checkModes(spec.accessModes, `${path}.accessModes`),
    ...validateLabelSelector(spec.selector, `${path}.selector`),
    ...(spec.resources?.requests?.storage === undefined
      ? [field.required(`${path}.resources[storage]`)]
      : checkStorage(spec.resources.requests.storage, `${path}.resources`)),
    ...checkOptionalChoice(spec.volumeMode, ['Block', 'Filesystem'], `${path}.volumeMode`),
  ];
}

function validateClaimUpdate(claim: V1PersistentVolumeClaim, old: V1PersistentVolumeClaim): FieldError[] {
  const errors: FieldError[] = [];
  const [spec, was] = [claim.spec!, old.spec!];
  const bindable = (s: V1PersistentVolumeClaimSpec): V1PersistentVolumeClaimSpec => ({
    ...s,
    volumeName: was.volumeName ? s.volumeName : undefined,
    resources: undefined,
    volumeAttributesClassName: undefined,
    storageClassName: was.storageClassName === undefined ? undefined : s.storageClassName,
  });
  if (!sameValue(bindable(spec), bindable(was))) {
    const words =
      'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';
    errors.push(field.forbidden('spec', words));
  }
  const [now, before] = [spec.resources?.requests?.storage, was.resources?.requests?.storage];
  if (now !== undefined && before !== undefined && compareQuantity(now, before) < 0) {
    errors.push(field.forbidden('spec.resources.requests.storage', 'field can not be less than status.capacity'));
  }
  return errors;
}

/** The words of STATUS for what is being deleted but still in use. */
function phaseText(object: V1PersistentVolumeClaim | V1PersistentVolume): string {
  return object.metadata?.deletionTimestamp ? 'Terminating' : (object.status?.phase ?? '');
}

function classText(object: V1PersistentVolumeClaim | V1PersistentVolume): string {
  const legacy = object.metadata?.annotations?.['volume.beta.kubernetes.io/storage-class'];
  return legacy ?? object.spec?.storageClassName ?? '';
}

function attributesText(spec: { volumeAttributesClassName?: string | undefined } | undefined): string {
  return spec?.volumeAttributesClassName ?? '<unset>';
}

function bound(claim: V1PersistentVolumeClaim): boolean {
  return Boolean(claim.spec?.volumeName);
}

export const claimBehaviour = behaviourOf<V1PersistentVolumeClaim>({
  defaults: (claim) => {
    claim.spec ??= {};
    claim.spec.resources ??= {};
    claim.spec.volumeMode ??= 'Filesystem';
    claim.status ??= {};
    claim.status.phase ||= 'Pending';
  },
  prepareForCreate: (claim) => {
    claim.status = { phase: 'Pending' };
  },
  validate: (claim) => validateClaimSpec(claim.spec!, 'spec'),
  validateUpdate: validateClaimUpdate,
  ...printer<V1PersistentVolumeClaim>([
    nameColumn,
    { name: 'Status', cell: phaseText },
    { name: 'Volume', cell: (claim) => claim.spec?.volumeName ?? '' },
    { name: 'Capacity', cell: (claim) => (bound(claim) ? (claim.status?.capacity?.storage ?? '0') : '') },
    { name: 'Access Modes', cell: (claim) => (bound(claim) ? modesText(claim.status?.accessModes) : '') },
    { name: 'StorageClass', cell: classText },
    { name: 'VolumeAttributesClass', cell: (claim) => attributesText(claim.spec) },
    ageColumn,
    { name: 'VolumeMode', wide: true, cell: (claim) => claim.spec?.volumeMode ?? '<unset>' },
  ]),
});

/** The fields of a volume's spec that are no source. */
const notSources = new Set([
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
  'volumeMode',
]);

function validateVolume(volume: V1PersistentVolume): FieldError[] {
  const spec = volume.spec!;
  const errors = checkModes(spec.accessModes, 'spec.accessModes');
  if (!spec.capacity || Object.keys(spec.capacity).length === 0) errors.push(field.required('spec.capacity'));
  else errors.push(...checkStorage(spec.capacity.storage, 'spec.capacity'));
  const sources = Object.entries(spec).filter(([key, value]) => !notSources.has(key) && value !== undefined);
  if (sources.length === 0) errors.push(field.required('spec', 'must specify a volume type'));
  for (const [name] of sources.slice(1)) {
    errors.push(field.forbidden(`spec.${name}`, 'may not specify more than 1 volume type'));
  }
  if (spec.hostPath?.path?.split('/').includes('..')) {
    errors.push(field.invalid('spec.hostPath.path', spec.hostPath.path, "must not contain '..'"));
  }
  if (spec.local && !spec.nodeAffinity) {
    errors.push(field.required('spec.nodeAffinity', 'Local volume requires node affinity'));
  }
  const policies = ['Delete', 'Recycle', 'Retain'];
  errors.push(
    ...checkOptionalChoice(spec.persistentVolumeReclaimPolicy, policies, 'spec.persistentVolumeReclaimPolicy'),
    ...checkOptionalChoice(spec.volumeMode, ['Block', 'Filesystem'], 'spec.volumeMode'),
  );
  return errors;
}

function validateVolumeUpdate(volume: V1PersistentVolume, old: V1PersistentVolume): FieldError[] {
  const sources = (spec: object) => Object.fromEntries(Object.entries(spec).filter(([key]) => !notSources.has(key)));
  const errors: FieldError[] = [];
  if (!sameValue(sources(volume.spec!), sources(old.spec!))) {
    errors.push(
      field.forbidden('spec.persistentvolumesource', 'spec.persistentvolumesource is immutable after creation'),
    );
  }
  errors.push(
    ...checkImmutable(volume.spec!.volumeMode === old.spec!.volumeMode, volume.spec!.volumeMode, 'spec.volumeMode'),
  );
  return errors;
}

export const volumeBehaviour = behaviourOf<V1PersistentVolume>({
  defaults: (volume) => {
    volume.spec ??= {};
    volume.status ??= {};
    volume.status.phase ||= 'Pending';
    volume.spec.persistentVolumeReclaimPolicy ||= 'Retain';
    volume.spec.volumeMode ??= 'Filesystem';
    if (volume.spec.hostPath) volume.spec.hostPath.type ??= '';
  },
  prepareForCreate: (volume, { now }) => {
    const lastPhaseTransitionTime = new Date(now).toISOString().replace(/\.\d+Z$/, 'Z');
    volume.status = { phase: 'Pending', lastPhaseTransitionTime };
  },
  prepareForStatusUpdate: (volume, old, { now }) => {
    if (!volume.status || volume.status.phase === old.status?.phase) return;
    volume.status.lastPhaseTransitionTime = new Date(now).toISOString().replace(/\.\d+Z$/, 'Z');
  },
  validate: validateVolume,
  validateUpdate: validateVolumeUpdate,
  ...printer<V1PersistentVolume>([
    nameColumn,
    { name: 'Capacity', cell: (volume) => volume.spec?.capacity?.storage ?? '' },
    { name: 'Access Modes', cell: (volume) => modesText(volume.spec?.accessModes) },
    { name: 'Reclaim Policy', cell: (volume) => volume.spec?.persistentVolumeReclaimPolicy ?? '' },
    { name: 'Status', cell: phaseText },
    {
      name: 'Claim',
      cell: ({ spec }) => (spec?.claimRef ? `${spec.claimRef.namespace ?? ''}/${spec.claimRef.name ?? ''}` : ''),
    },
    { name: 'StorageClass', cell: classText },
    { name: 'VolumeAttributesClass', cell: (volume) => attributesText(volume.spec) },
    { name: 'Reason', cell: (volume) => volume.status?.reason ?? '' },
    ageColumn,
    { name: 'VolumeMode', wide: true, cell: (volume) => volume.spec?.volumeMode ?? '<unset>' },
  ]),
});
