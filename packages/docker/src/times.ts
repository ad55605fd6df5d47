/** Go's zero time: what has not happened. */
export const never = '0001-01-01T00:00:00Z';

/** The present in ns since the epoch. */
export type NanoClock = () => bigint;

/** A clock of ns that never gives the same time twice, so that events and containers have an order. */
export function strictlyRising(read: NanoClock): NanoClock {
  let last = 0n;
  return () => {
    const now = read();
    last = now > last ? now : last + 1n;
    return last;
  };
}

/** The host's clock, read to the ns: steps of the wall clock are followed. */
export function systemNanoClock(): NanoClock {
  return strictlyRising(() => {
    const fraction = process.hrtime.bigint() % 1_000_000n;
    return BigInt(Date.now()) * 1_000_000n + fraction;
  });
}

/** RFC 3339 in UTC with as many digits of a second as are needed (Go's `RFC3339Nano`). */
export function formatNano(time: bigint): string {
  const seconds = time / 1_000_000_000n;
  const fraction = (time % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '');
  const text = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${text}${fraction === '' ? '' : `.${fraction}`}Z`;
}

/** What `formatNano` wrote; `never` gives 0. */
export function parseNano(text: string): bigint {
  if (text === never) return 0n;
  const found = /^(.*?)(?:\.([0-9]{1,9}))?Z$/.exec(text);
  const seconds = Date.parse(`${found?.[1] ?? ''}Z`) / 1000;
  if (!Number.isFinite(seconds)) return 0n;
  return BigInt(seconds) * 1_000_000_000n + BigInt((found?.[2] ?? '').padEnd(9, '0'));
}

/** ms since the epoch of what `formatNano` wrote. */
export function millisecondsOf(text: string): number {
  return Number(parseNano(text) / 1_000_000n);
}

/** How docker says how long something is (go-units `HumanDuration`). ms. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(seconds / 3600);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(seconds / 3600 / 24 / 365)} years`;
}
