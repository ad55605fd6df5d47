/** As Go writes it in dockerd: `undefined` members are left out, bigints are numbers, `<` and `&` stay. */
export function encodeJson(value: unknown): string {
  return hasBigint(value) ? encodeExactly(value) : JSON.stringify(value);
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
