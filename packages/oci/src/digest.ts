import { createHash, type Hash } from 'node:crypto';
import { WherryError } from '@wherry/base';

/** `algorithm:hex` (OCI image-spec descriptor.md, "Digests"), of an algorithm that can be verified here. */
export type Digest = `sha256:${string}` | `sha512:${string}`;

const pattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function isDigest(text: string): text is Digest {
  return pattern.test(text);
}

/** Throws `invalid` for anything but a whole sha256 or sha512 digest. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new WherryError('invalid', `invalid digest ${JSON.stringify(text.slice(0, 200))}`);
  return text;
}

/** The sha256 digest of some content. */
export function digestOf(content: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

/** A hash to feed content to, and the digest that it must come to. */
export function hashFor(digest: Digest): Hash {
  return createHash(algorithmOf(digest));
}

export function algorithmOf(digest: Digest): 'sha256' | 'sha512' {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The digits after the colon. */
export function hexOf(digest: Digest): string {
  return digest.slice(7);
}
