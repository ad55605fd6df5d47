import type { V1Pod } from '@wherry/api';

export const indexAnnotation = 'batch.kubernetes.io/job-completion-index';

/** Reads `1,3-5,7`; numbers from `limit` on are left out. */
export function parseIndexes(text: string | undefined, limit: number): Set<number> {
  const indexes = new Set<number>();
  for (const part of (text ?? '').split(',')) {
    const [from, to] = part.split('-').map(Number);
    if (part === '' || from === undefined || Number.isNaN(from)) continue;
    for (let index = from; index <= Math.min(to ?? from, limit - 1); index++) indexes.add(index);
  }
  return indexes;
}

/** Writes `0,1,3-5`: three or more in a row are joined (batch/v1 `completedIndexes`). */
export function writeIndexes(indexes: ReadonlySet<number>): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let at = 0; at < sorted.length; ) {
    let end = at;
    while (sorted[end + 1] === sorted[end]! + 1) end++;
    if (end - at >= 2) parts.push(`${sorted[at]}-${sorted[end]}`);
    else parts.push(...sorted.slice(at, end + 1).map(String));
    at = end + 1;
  }
  return parts.join(',');
}

/** The completion index of a pod of an Indexed job. */
export function indexOfPod(pod: V1Pod): number | undefined {
  const text = pod.metadata?.annotations?.[indexAnnotation];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
