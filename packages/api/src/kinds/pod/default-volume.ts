import type { V1DownwardAPIVolumeFile, V1Volume } from '../../../generated/types.ts';
import { defaultPullPolicy } from './default-container.ts';

/** 0644, as the mode of files in generated volumes. */
const fileMode = 0o644;

function defaultFiles(items: readonly V1DownwardAPIVolumeFile[] | undefined): void {
  for (const item of items ?? []) {
    if (item.fieldRef) item.fieldRef.apiVersion ||= 'v1';
    if (item.resourceFieldRef) item.resourceFieldRef.divisor ??= '0';
  }
}

function defaultProjected(volume: V1Volume): void {
  const projected = volume.projected;
  if (!projected) return;
  projected.defaultMode ??= fileMode;
  for (const source of projected.sources ?? []) {
    if (source.serviceAccountToken) source.serviceAccountToken.expirationSeconds ??= 3600;
    if (source.podCertificate) source.podCertificate.maxExpirationSeconds ??= 86_400;
    defaultFiles(source.downwardAPI?.items);
  }
}

function defaultNetworkVolume(volume: V1Volume): void {
  if (volume.iscsi) volume.iscsi.iscsiInterface ||= 'default';
  if (volume.rbd) {
    volume.rbd.pool ||= 'rbd';
    volume.rbd.user ||= 'admin';
    volume.rbd.keyring ||= '/etc/ceph/keyring';
  }
  if (volume.azureDisk) {
    volume.azureDisk.cachingMode ||= 'ReadWrite';
    volume.azureDisk.kind ||= 'Shared';
    volume.azureDisk.fsType ||= 'ext4';
    volume.azureDisk.readOnly ??= false;
  }
  if (volume.scaleIO) {
    volume.scaleIO.storageMode ||= 'ThinProvisioned';
    volume.scaleIO.fsType ||= 'xfs';
  }
}

/** Defaults of one volume; one without a source is an emptyDir. Changes its argument. */
export function defaultVolume(volume: V1Volume): void {
  if (Object.keys(volume).every((key) => key === 'name')) volume.emptyDir = {};
  if (volume.secret) volume.secret.defaultMode ??= fileMode;
  if (volume.configMap) volume.configMap.defaultMode ??= fileMode;
  if (volume.downwardAPI) {
    volume.downwardAPI.defaultMode ??= fileMode;
    defaultFiles(volume.downwardAPI.items);
  }
  if (volume.hostPath) volume.hostPath.type ??= '';
  if (volume.image) volume.image.pullPolicy ||= defaultPullPolicy(volume.image.reference ?? '');
  const claim = volume.ephemeral?.volumeClaimTemplate;
  if (claim) {
    claim.spec ??= {};
    claim.spec.volumeMode ??= 'Filesystem';
  }
  defaultProjected(volume);
  defaultNetworkVolume(volume);
}
