import { WherryError } from '@wherry/base';
import { hostPlatform, type Platform } from '@wherry/oci';
import type { Exchange } from '../http/exchange.ts';

/**
 * A platform as clients write it, `linux/arm64/v8`, or as JSON since 1.48 (`{"os":"linux","architecture":"arm64"}`);
 * `undefined` for none. Throws `invalid`.
 */
export function parsePlatform(text: string): Platform | undefined {
  if (text === '') return undefined;
  if (text.startsWith('{')) return fromJson(text);
  const [os = '', architecture, variant, ...more] = text.toLowerCase().split('/');
  checkParts(text);
  if (more.length > 0) throw invalid(text);
  if (architecture === undefined) {
    // One word is an architecture, or the system alone.
    if (os === 'linux') return undefined;
    if (os === 'windows') return { os, architecture: hostPlatform().architecture };
    return { os: 'linux', architecture: os };
  }
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

/** The query's `platform`, which came with version 1.`since`. Throws `invalid`. */
export function platformAsked(exchange: Exchange, since: number): Platform | undefined {
  return exchange.speaks(since) ? parsePlatform(exchange.query.text('platform')) : undefined;
}

/** In the words of containerd's platforms. */
function checkParts(text: string): void {
  const parts = text.split('/');
  const odd = parts.findIndex((part) => !/^[A-Za-z0-9_.-]+$/.test(part));
  if (odd < 0) return;
  const kind = odd === 0 ? 'OS component' : 'component';
  const wanted =
    odd === 0
      ? String.raw`OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.-]*)\\))?$"`
      : 'platform specifier component must match "^[A-Za-z0-9_-]+$"';
  const words = `${JSON.stringify(parts[odd])} is an invalid ${kind} of ${JSON.stringify(text)}`;
  throw new WherryError('invalid', `${words}: ${wanted}: invalid argument`);
}

function fromJson(text: string): Platform {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(text);
  }
  const { os, architecture, variant } = value as Record<string, unknown>;
  if (typeof os !== 'string' || typeof architecture !== 'string') throw invalid(text);
  return { os, architecture, ...(typeof variant === 'string' && variant !== '' ? { variant } : {}) };
}

function invalid(text: string): WherryError {
  return new WherryError('invalid', `${JSON.stringify(text)}: cannot parse platform specifier: invalid argument`);
}
