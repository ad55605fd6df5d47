import type { V1Pod, V1Volume, V1VolumeProjection } from '@wherry/api';
import { WherryError } from '@wherry/base';
import { type DownwardFacts, downwardFiles } from './downward-api.ts';
import type { VolumeObjects } from './objects.ts';
import {
  checkVolumePath,
  configMapContents,
  joinPayloads,
  keyFiles,
  type Payload,
  secretContents,
  type VolumeFile,
} from './payload.ts';
import type { TokenCache } from './tokens.ts';

/** The files of a volume and, with tokens in it, when (ms) it must be made again. */
export interface VolumeContents {
  readonly payload: Payload;
  readonly refreshAt: number | undefined;
}

/** What the contents of a volume depend on. */
export interface ContentSources {
  readonly pod: V1Pod;
  readonly objects: VolumeObjects;
  readonly tokens: TokenCache;
  readonly facts: DownwardFacts;
}

/** Whether a volume's files come from API objects. */
export function isApiVolume(volume: V1Volume): boolean {
  return Boolean(volume.configMap ?? volume.secret ?? volume.downwardAPI ?? volume.projected);
}

/** Collects the files of a configMap, secret, downwardAPI or projected volume. Throws `notFound` with upstream's words for what is missing. */
export async function volumeContents(volume: V1Volume, sources: ContentSources): Promise<VolumeContents> {
  if (volume.configMap) {
    const { name, defaultMode, items, optional } = volume.configMap;
    const part = { configMap: { name, items, optional } };
    return projectionContents(part, defaultMode ?? 0o644, sources);
  }
  if (volume.secret) {
    const { secretName, defaultMode, items, optional } = volume.secret;
    return projectionContents({ secret: { name: secretName, items, optional } }, defaultMode ?? 0o644, sources);
  }
  if (volume.downwardAPI)
    return projectionContents({ downwardAPI: volume.downwardAPI }, volume.downwardAPI.defaultMode ?? 0o644, sources);
  const projected = volume.projected;
  if (projected === undefined) throw new WherryError('invalid', `volume ${volume.name} holds no API objects`);
  const parts = await Promise.all(
    (projected.sources ?? []).map((part) => projectionContents(part, projected.defaultMode ?? 0o644, sources)),
  );
  const dates = parts.map((part) => part.refreshAt).filter((at) => at !== undefined);
  return {
    payload: joinPayloads(parts.map((part) => part.payload)),
    refreshAt: dates.length === 0 ? undefined : Math.min(...dates),
  };
}

async function projectionContents(
  part: V1VolumeProjection,
  defaultMode: number,
  sources: ContentSources,
): Promise<VolumeContents> {
  const { pod, objects, facts } = sources;
  const namespace = pod.metadata?.namespace ?? '';
  if (part.configMap) {
    const name = part.configMap.name ?? '';
    const object = await objects.configMap(namespace, name);
    const contents = object && configMapContents(object);
    return plain(keyFiles({ kind: 'configmap', ...part.configMap, name }, contents, defaultMode));
  }
  if (part.secret) {
    const name = part.secret.name ?? '';
    const object = await objects.secret(namespace, name);
    return plain(keyFiles({ kind: 'secret', ...part.secret, name }, object && secretContents(object), defaultMode));
  }
  if (part.downwardAPI) return plain(downwardFiles(pod, part.downwardAPI.items, defaultMode, facts));
  if (part.serviceAccountToken) return tokenContents(part.serviceAccountToken, defaultMode, sources);
  throw new WherryError('unsupported', `projected volume source ${Object.keys(part).join(', ')} is not supported`);
}

function plain(payload: Payload): VolumeContents {
  return { payload, refreshAt: undefined };
}

async function tokenContents(
  source: NonNullable<V1VolumeProjection['serviceAccountToken']>,
  defaultMode: number,
  { pod, tokens }: ContentSources,
): Promise<VolumeContents> {
  const { token, refreshAt } = await tokens.get({
    namespace: pod.metadata?.namespace ?? '',
    serviceAccount: pod.spec?.serviceAccountName || 'default',
    pod: { name: pod.metadata?.name ?? '', uid: pod.metadata?.uid ?? '' },
    audience: source.audience || undefined,
    expirationSeconds: source.expirationSeconds ?? 3600,
  });
  // Upstream: the token is readable by its user only, unless a group owns the volume or no single user is known.
  const uid = commonUser(pod);
  const mode = pod.spec?.securityContext?.fsGroup !== undefined ? 0o600 : uid !== undefined ? 0o600 : defaultMode;
  const file: VolumeFile = { content: Buffer.from(token), mode, uid };
  return { payload: new Map([[checkVolumePath(source.path), file]]), refreshAt };
}

/** The user that all containers run as, when the pod says so and they agree. */
function commonUser(pod: V1Pod): number | undefined {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const ofPod = pod.spec?.securityContext?.runAsUser;
  const users = new Set(containers.map((container) => container.securityContext?.runAsUser ?? ofPod));
  return users.size === 1 ? [...users][0] : undefined;
}
