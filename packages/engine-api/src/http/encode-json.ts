/** As Go writes it in dockerd: `undefined` members are left out, bigints are numbers, `<` and `&` stay. */
export function encodeJson(value: unknown): string {
  return hasBigint(value) ? encodeExactly(value) : JSON.stringify(value);
}

/** As Go's encoder writes it where nobody told it otherwise, which is in dockerd's streams: nothing that HTML would read. */
export function encodeStreamJson(value: unknown): string {
  return encodeJson(value).replace(
    /[<>&\u2028\u2029]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function hasBigint(value: unknown): boolean {
  if (typeof value === 'bigint') return true;
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).some(hasBigint);
}

function encodeExactly(value: unknown): string {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map((item) => encodeExactly(item ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${encodeExactly(member)}`).join(',')}}`;
}
