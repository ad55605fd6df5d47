/** An IPv4 range in CIDR notation, as numbers. */
export interface AddressRange {
  readonly first: number;
  readonly size: number;
  readonly text: string;
}

/** Reads `10.96.0.0/12`. Throws plain errors: the range comes from configuration. */
export function parseRange(text: string): AddressRange {
  const [address, bits] = text.split('/');
  const prefix = Number(bits);
  const number = addressNumber(address ?? '');
  if (number === undefined || !Number.isInteger(prefix) || prefix < 8 || prefix > 30) {
    throw new Error(`${text} is not an IPv4 range between /8 and /30`);
  }
  const size = 2 ** (32 - prefix);
  return { first: number - (number % size), size, text };
}

/** An IPv4 address as a number, or `undefined` when it is none. */
export function addressNumber(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

export function addressText(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}
