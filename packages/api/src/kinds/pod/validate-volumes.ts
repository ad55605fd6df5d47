import type {
  V1DownwardAPIVolumeFile,
  V1KeyToPath,
  V1Volume,
  V1VolumeDevice,
  V1VolumeMount,
  V1VolumeProjection,
} from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { compareQuantity, isQuantity } from '../../quantity.ts';
import { checkDescendingPath, checkGeneratedPath, checkOptionalChoice, checkRequiredName } from '../shared/checks.ts';
import { dnsLabelProblems } from '../shared/names.ts';
import { fileFields, validateFieldRef, validateResourceFieldRef } from './validate-environment.ts';

const hostPathTypes = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];
const modeText = 'must be a number between 0 and 0777 (octal), both inclusive';

function checkMode(mode: number | undefined, path: string): FieldError[] {
  return mode !== undefined && (mode < 0 || mode > 0o777) ? [field.invalid(path, mode, modeText)] : [];
}

function checkItems(items: readonly V1KeyToPath[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item, index) => {
    const at = `${path}[${index}]`;
    const errors: FieldError[] = [];
    if (!item.key) errors.push(field.required(`${at}.key`));
    if (!item.path) errors.push(field.required(`${at}.path`));
    else errors.push(...checkGeneratedPath(item.path, `${at}.path`));
    errors.push(...checkMode(item.mode, `${at}.mode`));
    return errors;
  });
}

function checkDownwardFiles(items: readonly V1DownwardAPIVolumeFile[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item, index) => {
    const at = `${path}[${index}]`;
    const errors: FieldError[] = [];
    if (!item.path) errors.push(field.required(`${at}.path`));
    else errors.push(...checkGeneratedPath(item.path, `${at}.path`));
    if (item.fieldRef && item.resourceFieldRef) {
      errors.push(field.invalid(path, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'));
    } else if (item.fieldRef) errors.push(...validateFieldRef(item.fieldRef, fileFields, `${at}.fieldRef`));
    else if (item.resourceFieldRef) {
      errors.push(...validateResourceFieldRef(item.resourceFieldRef, true, `${at}.resourceFieldRef`));
    } else errors.push(field.required(at, 'one of fieldRef and resourceFieldRef is required'));
    errors.push(...checkMode(item.mode, `${at}.mode`));
    return errors;
  });
}

function checkProjection(source: V1VolumeProjection, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const kinds = Object.entries(source).filter(([, value]) => value !== undefined);
  if (kinds.length > 1)
    errors.push(field.forbidden(`${at}.${kinds[1]![0]}`, 'may not specify more than 1 volume type'));
  if (kinds.length === 0) errors.push(field.required(at, 'must specify a projected volume source'));
  for (const name of ['secret', 'configMap'] as const) {
    const from = source[name];
    if (!from) continue;
    if (!from.name) errors.push(field.required(`${at}.${name}.name`));
    errors.push(...checkItems(from.items, `${at}.${name}.items`));
  }
  if (source.downwardAPI) errors.push(...checkDownwardFiles(source.downwardAPI.items, `${at}.downwardAPI.items`));
  const token = source.serviceAccountToken;
  if (token) {
    const seconds = token.expirationSeconds ?? 3600;
    const expiry = `${at}.serviceAccountToken.expirationSeconds`;
    if (seconds < 600) errors.push(field.invalid(expiry, seconds, 'may not specify a duration less than 10 minutes'));
    if (seconds > 2 ** 32)
      errors.push(field.invalid(expiry, seconds, 'may not specify a duration larger than 2^32 seconds'));
    if (!token.path) errors.push(field.required(`${at}.serviceAccountToken.path`));
    else errors.push(...checkGeneratedPath(token.path, `${at}.serviceAccountToken.path`));
  }
  return errors;
}

/** Every path that a projection names itself, with where it is named. */
function projectedPaths(source: V1VolumeProjection, at: string): [path: string, where: string][] {
  const items = source.secret?.items ?? source.configMap?.items ?? source.downwardAPI?.items ?? [];
  const paths: [string, string][] = items.map((item) => [item.path, at]);
  if (source.serviceAccountToken) paths.push([source.serviceAccountToken.path, `${at}.serviceAccountToken.path`]);
  return paths;
}

function checkProjected(volume: V1Volume, path: string): FieldError[] {
  const errors = checkMode(volume.projected!.defaultMode, `${path}.defaultMode`);
  const seen = new Set<string>();
  (volume.projected!.sources ?? []).forEach((source, index) => {
    const at = `${path}.sources[${index}]`;
    errors.push(...checkProjection(source, at));
    for (const [name, where] of projectedPaths(source, at)) {
      if (name && seen.has(name)) errors.push(field.invalid(where, name, 'conflicting duplicate paths'));
      seen.add(name);
    }
  });
  return errors;
}

function checkSource(volume: V1Volume, kind: string, at: string): FieldError[] {
  const required = (value: unknown, name: string) => (value ? [] : [field.required(`${at}.${name}`)]);
  switch (kind) {
    case 'hostPath': {
      const { path, type } = volume.hostPath!;
      if (!path) return required(path, 'path');
      const dots = path.split('/').includes('..') ? [field.invalid(`${at}.path`, path, "must not contain '..'")] : [];
      return hostPathTypes.includes(type ?? '')
        ? dots
        : [...dots, field.notSupported(`${at}.type`, type, hostPathTypes.slice(1))];
    }
    case 'emptyDir': {
      const limit = volume.emptyDir!.sizeLimit;
      const bad = limit !== undefined && (!isQuantity(limit) || compareQuantity(limit, '0') < 0);
      return bad ? [field.forbidden(`${at}.sizeLimit`, 'SizeLimit field must be a valid resource quantity')] : [];
    }
    case 'secret':
      return [
        ...required(volume.secret!.secretName, 'secretName'),
        ...checkMode(volume.secret!.defaultMode, `${at}.defaultMode`),
        ...checkItems(volume.secret!.items, `${at}.items`),
      ];
    case 'configMap':
      return [
        ...required(volume.configMap!.name, 'name'),
        ...checkMode(volume.configMap!.defaultMode, `${at}.defaultMode`),
        ...checkItems(volume.configMap!.items, `${at}.items`),
      ];
    case 'persistentVolumeClaim':
      return required(volume.persistentVolumeClaim!.claimName, 'claimName');
    case 'downwardAPI':
      return [
        ...checkMode(volume.downwardAPI!.defaultMode, `${at}.defaultMode`),
        ...checkDownwardFiles(volume.downwardAPI!.items, at),
      ];
    case 'projected':
      return checkProjected(volume, at);
    case 'nfs': {
      const { server, path } = volume.nfs!;
      const relative =
        path && !path.startsWith('/') ? [field.invalid(`${at}.path`, path, 'must be an absolute path')] : [];
      return [...required(server, 'server'), ...required(path, 'path'), ...relative];
    }
    case 'csi':
      return required(volume.csi!.driver, 'driver');
    case 'ephemeral':
      return required(volume.ephemeral!.volumeClaimTemplate, 'volumeClaimTemplate');
    case 'image':
      return [
        ...required(volume.image!.reference, 'reference'),
        ...checkOptionalChoice(volume.image!.pullPolicy, ['Always', 'IfNotPresent', 'Never'], `${at}.pullPolicy`),
      ];
    default:
      return [];
  }
}

/** The volumes of a pod spec. */
export function validateVolumes(volumes: readonly V1Volume[] | undefined, path: string): FieldError[] {
  const names = new Set<string>();
  return (volumes ?? []).flatMap((volume, index) => {
    const at = `${path}[${index}]`;
    const errors: FieldError[] = [];
    const kinds = Object.keys(volume).filter((key) => key !== 'name' && volume[key as keyof V1Volume] !== undefined);
    if (kinds.length === 0) errors.push(field.required(at, 'must specify a volume type'));
    else errors.push(...checkSource(volume, kinds[0]!, `${at}.${kinds[0]}`));
    for (const extra of kinds.slice(1)) {
      errors.push(field.forbidden(`${at}.${extra}`, 'may not specify more than 1 volume type'));
    }
    errors.push(...checkRequiredName(volume.name, dnsLabelProblems, `${at}.name`));
    if (volume.name && names.has(volume.name)) errors.push(field.duplicate(`${at}.name`, volume.name));
    names.add(volume.name);
    return errors;
  });
}

/** What mounts of a container are checked against. */
export interface MountContext {
  readonly volumes: ReadonlyMap<string, V1Volume>;
  readonly privileged: boolean;
}

/** The mounts of a container. */
export function validateVolumeMounts(
  mounts: readonly V1VolumeMount[] | undefined,
  context: MountContext,
  path: string,
): FieldError[] {
  const points = new Set<string>();
  return (mounts ?? []).flatMap((mount, index) => {
    const at = `${path}[${index}]`;
    const errors: FieldError[] = [];
    if (!mount.name) errors.push(field.required(`${at}.name`));
    else if (!context.volumes.has(mount.name)) errors.push(field.notFound(`${at}.name`, mount.name));
    if (!mount.mountPath) errors.push(field.required(`${at}.mountPath`));
    else if (points.has(mount.mountPath)) {
      errors.push(field.invalid(`${at}.mountPath`, mount.mountPath, 'must be unique'));
    }
    points.add(mount.mountPath);
    if (mount.subPath) errors.push(...checkDescendingPath(mount.subPath, `${at}.subPath`));
    if (mount.subPathExpr) {
      if (mount.subPath) {
        errors.push(
          field.invalid(`${at}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive'),
        );
      }
      errors.push(...checkDescendingPath(mount.subPathExpr, `${at}.subPathExpr`));
    }
    if (mount.mountPropagation !== undefined) {
      const propagation = `${at}.mountPropagation`;
      errors.push(
        ...checkOptionalChoice(mount.mountPropagation, ['Bidirectional', 'HostToContainer', 'None'], propagation),
      );
      if (mount.mountPropagation === 'Bidirectional' && !context.privileged) {
        errors.push(
          field.forbidden(propagation, 'Bidirectional mount propagation is available only to privileged containers'),
        );
      }
    }
    const recursive = mount.recursiveReadOnly;
    if (recursive && recursive !== 'Disabled' && !mount.readOnly) {
      errors.push(field.forbidden(`${at}.recursiveReadOnly`, 'may only be specified when readOnly is true'));
    }
    return errors;
  });
}

/** The raw block devices of a container. */
export function validateVolumeDevices(
  devices: readonly V1VolumeDevice[] | undefined,
  context: MountContext,
  path: string,
): FieldError[] {
  return (devices ?? []).flatMap((device, index) => {
    const at = `${path}[${index}]`;
    const errors: FieldError[] = [];
    const volume = context.volumes.get(device.name);
    if (!device.name) errors.push(field.required(`${at}.name`));
    else if (!volume) errors.push(field.notFound(`${at}.name`, device.name));
    else if (!volume.persistentVolumeClaim && !volume.ephemeral) {
      const words = 'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode';
      errors.push(field.invalid(`${at}.name`, device.name, words));
    }
    if (!device.devicePath) errors.push(field.required(`${at}.devicePath`));
    else if (device.devicePath.split('/').includes('..')) {
      errors.push(field.invalid(`${at}.devicePath`, device.devicePath, "can not contain backsteps ('..')"));
    }
    return errors;
  });
}
