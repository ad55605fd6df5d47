/** The back-off of one container or image: how long, and since when it has been that long (ms). */
export interface BackOff {
  readonly delayMs: number;
  readonly updatedAt: number;
}

/** Upstream's constants for restarts and image pulls. */
export interface BackOffSettings {
  readonly initialMs: number;
  readonly maximumMs: number;
}

export const defaultBackOff: BackOffSettings = { initialMs: 10_000, maximumMs: 300_000 };

/** After twice the maximum without trouble, counting starts anew (client-go `flowcontrol.Backoff`). */
function expired(backOff: BackOff, eventAt: number, { maximumMs }: BackOffSettings): boolean {
  return eventAt - backOff.updatedAt > 2 * maximumMs;
}

/** Milliseconds that are left to wait after an event (an exit, a failed pull); 0: go on. */
export function backOffLeft(
  backOff: BackOff | undefined,
  eventAt: number,
  now: number,
  settings: BackOffSettings,
): number {
  if (backOff === undefined || expired(backOff, eventAt, settings)) return 0;
  return Math.max(backOff.delayMs - (now - eventAt), 0);
}

/** The back-off that applies after the next attempt. */
export function nextBackOff(
  backOff: BackOff | undefined,
  eventAt: number,
  now: number,
  settings: BackOffSettings,
): BackOff {
  if (backOff === undefined || expired(backOff, eventAt, settings))
    return { delayMs: settings.initialMs, updatedAt: now };
  return { delayMs: Math.min(backOff.delayMs * 2, settings.maximumMs), updatedAt: now };
}

/** A duration as Go prints it: `10s`, `1m20s`, `5m0s`, `1.5s`, `250ms`. */
export function goDuration(ms: number): string {
  if (ms === 0) return '0s';
  if (ms < 1000) return `${trim(ms)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = trim((ms % 60_000) / 1000);
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

function trim(value: number): string {
  return String(Number(value.toFixed(6)));
}
