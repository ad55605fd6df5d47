import { WherryError } from '@wherry/base';
import { type Platform, parsePlatform as parse } from '@wherry/oci';
import type { Exchange } from '../http/exchange.ts';

/**
 * A platform as clients write it, `linux/arm64/v8`, or as JSON since 1.48 (`{"os":"linux","architecture":"arm64"}`);
 * `undefined` for none. Throws `invalid`.
 */
export function parsePlatform(text: string): Platform | undefined {
  if (text === '') return undefined;
  if (text.startsWith('{')) return fromJson(text);
  return parse(text);
}

/** The query's `platform`, which came with version 1.`since`. Throws `invalid`. */
export function platformAsked(exchange: Exchange, since: number): Platform | undefined {
  return exchange.speaks(since) ? parsePlatform(exchange.query.text('platform')) : undefined;
}

/** Each of the query's `platform`s, which clients of later versions give more than once; `undefined` for none. */
export function platformsAsked(exchange: Exchange, since: number): readonly Platform[] | undefined {
  if (!exchange.speaks(since)) return undefined;
  const platforms = exchange.query.all('platform').flatMap((text) => parsePlatform(text) ?? []);
  return platforms.length === 0 ? undefined : platforms;
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
