import {
  parseQuantity,
  type V1Container,
  type V1DownwardAPIVolumeFile,
  type V1ObjectFieldSelector,
  type V1Pod,
  type V1ResourceFieldSelector,
} from '@wherry/api';
import { WherryError } from '@wherry/base';
import { checkVolumePath, type VolumeFile } from './payload.ts';

/** What a pod may learn about its place beside its own object. */
export interface DownwardFacts {
  /** Stand for limits that a container does not have (`cpu`, `memory`, `ephemeral-storage`). */
  readonly allocatable: Readonly<Record<string, string>>;
  readonly hostIps: readonly string[];
  /** Addresses of the sandbox; none for volumes, which may not ask for them. */
  readonly podIps: readonly string[];
}

/** Lines `key="value"`, sorted, values quoted as Go's `%q` does. */
export function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.keys(map ?? {})
    .sort()
    .map((key) => `${key}=${goQuote(map?.[key] ?? '')}`)
    .join('\n');
}

/** strconv.Quote for text. */
export function goQuote(text: string): string {
  const named: Record<string, string> = {
    '\u0007': '\\a',
    '\b': '\\b',
    '\f': '\\f',
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
    '\v': '\\v',
    '"': '\\"',
    '\\': '\\\\',
  };
  let quoted = '"';
  for (const character of text) {
    const code = character.codePointAt(0) as number;
    const name = named[character];
    if (name !== undefined) quoted += name;
    else if (code < 0x20 || code === 0x7f) quoted += `\\x${code.toString(16).padStart(2, '0')}`;
    else if (/[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(character) || character === ' ') quoted += character;
    else if (code < 0x10000) quoted += `\\u${code.toString(16).padStart(4, '0')}`;
    else quoted += `\\U${code.toString(16).padStart(8, '0')}`;
  }
  return `${quoted}"`;
}

/** The value of a `fieldRef` of a pod, as environment variables and volumes show it. Throws `invalid` for paths that are not offered. */
export function podFieldValue(pod: V1Pod, selector: V1ObjectFieldSelector, facts: DownwardFacts): string {
  const path = selector.fieldPath;
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (keyed) return pod.metadata?.[keyed[1] as 'labels' | 'annotations']?.[keyed[2] as string] ?? '';
  switch (path) {
    case 'metadata.name':
      return pod.metadata?.name ?? '';
    case 'metadata.namespace':
      return pod.metadata?.namespace ?? '';
    case 'metadata.uid':
      return pod.metadata?.uid ?? '';
    case 'metadata.labels':
      return formatMap(pod.metadata?.labels);
    case 'metadata.annotations':
      return formatMap(pod.metadata?.annotations);
    case 'spec.nodeName':
      return pod.spec?.nodeName ?? '';
    case 'spec.serviceAccountName':
      return pod.spec?.serviceAccountName ?? '';
    case 'status.hostIP':
      return facts.hostIps[0] ?? '';
    case 'status.hostIPs':
      return facts.hostIps.join(',');
    case 'status.podIP':
      return facts.podIps[0] ?? '';
    case 'status.podIPs':
      return facts.podIps.join(',');
    default:
      throw new WherryError('invalid', `unsupported fieldPath: ${path}`);
  }
}

/** The value of a `resourceFieldRef`: the amount divided by the divisor, rounded up. */
export function resourceFieldValue(
  container: V1Container,
  selector: V1ResourceFieldSelector,
  facts: DownwardFacts,
): string {
  const [side, ...rest] = selector.resource.split('.');
  const name = rest.join('.');
  if ((side !== 'limits' && side !== 'requests') || name === '')
    throw new WherryError('invalid', `unsupported container resource : ${selector.resource}`);
  const stated = container.resources?.[side]?.[name];
  const amount = stated ?? (side === 'limits' ? facts.allocatable[name] : container.resources?.limits?.[name]) ?? '0';
  const asked = parseQuantity(String(selector.divisor ?? '0')).nano;
  const divisor = asked === 0n ? 1_000_000_000n : asked;
  return String((parseQuantity(amount).nano + divisor - 1n) / divisor);
}

/** The files of a downwardAPI volume or projection. */
export function downwardFiles(
  pod: V1Pod,
  items: readonly V1DownwardAPIVolumeFile[] | undefined,
  defaultMode: number,
  facts: DownwardFacts,
): Map<string, VolumeFile> {
  const files = new Map<string, VolumeFile>();
  for (const item of items ?? []) {
    const text = item.fieldRef ? podFieldValue(pod, item.fieldRef, facts) : resourceText(pod, item, facts);
    files.set(checkVolumePath(item.path), { content: Buffer.from(text, 'utf8'), mode: item.mode ?? defaultMode });
  }
  return files;
}

function resourceText(pod: V1Pod, item: V1DownwardAPIVolumeFile, facts: DownwardFacts): string {
  const selector = item.resourceFieldRef;
  if (selector === undefined) throw new WherryError('invalid', `the item ${item.path} has no source`);
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const container = containers.find(({ name }) => name === selector.containerName);
  if (container === undefined)
    throw new WherryError('notFound', `container ${String(selector.containerName)} not found`);
  return resourceFieldValue(container, selector, facts);
}
