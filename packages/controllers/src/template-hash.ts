const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** 32-bit FNV-1a. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** JSON with keys in order and without what is empty, so that a template means the same text however it came. */
export function stableText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stableText).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined && member !== null)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${stableText(member)}`).join(',')}}`;
}

/**
 * The `pod-template-hash` or revision name of a template: FNV-1a over its stable text and the number
 * of collisions so far, its decimal digits written in the safe alphabet (apimachinery `SafeEncodeString`).
 */
export function templateHash(template: unknown, collisions: number | undefined): string {
  const text = stableText(template) + (collisions === undefined ? '' : `#${collisions}`);
  return [...String(fnv1a(text))].map((digit) => alphabet[digit.charCodeAt(0) % 27]).join('');
}
