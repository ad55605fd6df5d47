import { cancelled, WherryError } from '@wherry/base';
import { networkReason } from './request.ts';

/**
 * What stands at an address that a person named (`http://…`, `https://…`), redirects followed; whatever status it has.
 * Throws `unavailable` in the words of Go's client, `cancelled`.
 */
export async function fetchAddress(address: string, signal: AbortSignal): Promise<Response> {
  const wrong = problemOf(address);
  if (wrong !== undefined) throw failed(address, wrong);
  try {
    return await fetch(address, { signal, redirect: 'follow' });
  } catch (error) {
    if (signal.aborted) throw cancelled(signal);
    throw failed(address, networkReason(((error as Error).cause ?? error) as Error, new URL(address)), error);
  }
}

/** What Go finds before it asks anybody. */
function problemOf(address: string): string | undefined {
  const place = address.replace(/^https?:\/\//, '');
  if (place === '' || place.startsWith('/')) return 'http: no Host in request URL';
  const port = /^[^/?#]*:(\d+)(?:[/?#]|$)/.exec(place)?.[1];
  if (port !== undefined && Number(port) > 65_535) return `dial tcp: address ${port}: invalid port`;
  return URL.canParse(address) ? undefined : 'invalid address';
}

function failed(address: string, reason: string, cause?: unknown): WherryError {
  // Without anything behind them Go leaves the slashes out.
  const shown = address.replace(/^(https?:)\/\/$/, '$1');
  return new WherryError('unavailable', `Get ${JSON.stringify(shown)}: ${reason}`, { cause });
}
