import type { Digest } from '@wherry/oci';
import { refusal } from '../refusal.ts';
import type { Exchange } from './exchange.ts';
import { matches } from './send-bytes.ts';

/** Throws 412 unless what a change would replace or remove is what the client expects; whoever calls holds the lock. */
export type Precondition = (current: Digest | undefined) => void;

/**
 * `If-Match` and `If-None-Match` of a change (RFC 9110, 13.1): clients that share a tag, as that of referrers, lose nothing of
 * each other's (distribution-spec, "Referrers Tag Schema"), and `If-None-Match: *` moves no tag that is there.
 */
export function preconditionOf(exchange: Exchange): Precondition {
  // A weak tag is none that was given here.
  const wanted = exchange.header('if-match')?.replace(/W\/"[^"]*"/g, '');
  const unwanted = exchange.header('if-none-match');
  return (current) => {
    const names = (header: string): boolean => current !== undefined && matches(header, `"${current}"`);
    if ((wanted === undefined || names(wanted)) && (unwanted === undefined || !names(unwanted))) return;
    throw refusal('DENIED', 'the manifest is not the one that the request expects', {
      status: 412,
      ...(current !== undefined && { detail: { digest: current }, headers: { ETag: `"${current}"` } }),
    });
  };
}
