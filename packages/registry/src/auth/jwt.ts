import {
  createHash,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import { WherryError } from '@wherry/base';

/** Claims of RFC 7519, 4.1, and what docker's tokens add. */
export interface Claims {
  readonly iss?: string;
  readonly sub?: string;
  readonly aud?: string | readonly string[];
  readonly exp?: number;
  readonly nbf?: number;
  readonly iat?: number;
  readonly jti?: string;
  readonly access?: unknown;
}

const algorithms: Readonly<
  Record<
    string,
    { readonly hash: string | null; readonly type: string; readonly curve?: string; readonly pss?: boolean }
  >
> = {
  RS256: { hash: 'sha256', type: 'rsa' },
  RS384: { hash: 'sha384', type: 'rsa' },
  RS512: { hash: 'sha512', type: 'rsa' },
  PS256: { hash: 'sha256', type: 'rsa', pss: true },
  ES256: { hash: 'sha256', type: 'ec', curve: 'prime256v1' },
  ES384: { hash: 'sha384', type: 'ec', curve: 'secp384r1' },
  EdDSA: { hash: null, type: 'ed25519' },
};

const longestToken = 64 * 1024;

/** A key that an issuer signs with. */
export interface TrustedKey {
  readonly id: string | undefined;
  readonly key: KeyObject;
  /** Also those that a certificate of it vouches for (`x5c`) are trusted. */
  readonly certificate?: X509Certificate;
}

/** Signs with P-256 (ES256). */
export function signJwt(claims: Claims, key: KeyObject, keyId: string): string {
  const head = encode({ typ: 'JWT', alg: 'ES256', kid: keyId });
  const body = `${head}.${encode(claims)}`;
  return `${body}.${sign('sha256', Buffer.from(body), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

/** The claims of a token that one of the keys signed; `undefined` for any other. Says nothing of times and names. */
export function verifyJwt(token: string, keys: readonly TrustedKey[], now: number): Claims | undefined {
  if (token.length > longestToken) return undefined;
  const parts = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(token);
  if (!parts) return undefined;
  const head = decode(parts[1]!) as { alg?: unknown; kid?: unknown; x5c?: unknown; crit?: unknown } | undefined;
  if (typeof head?.alg !== 'string' || !Object.hasOwn(algorithms, head.alg) || head.crit !== undefined)
    return undefined;
  const candidates = [
    ...chained(head.x5c, keys, now),
    ...keys.filter(({ id }) => id === undefined || head.kid === undefined || id === head.kid),
  ];
  const signature = Buffer.from(parts[3]!, 'base64url');
  const signed = Buffer.from(`${parts[1]}.${parts[2]}`);
  if (!candidates.some(({ key }) => isSigned(signed, signature, key, head.alg as string))) return undefined;
  const claims = decode(parts[2]!);
  return typeof claims === 'object' && claims !== null ? (claims as Claims) : undefined;
}

function isSigned(signed: Buffer, signature: Buffer, key: KeyObject, name: string): boolean {
  const { hash, type, curve, pss } = algorithms[name]!;
  if (key.asymmetricKeyType !== type) return false;
  if (curve !== undefined && key.asymmetricKeyDetails?.namedCurve !== curve) return false;
  try {
    // 6 is RSA_PKCS1_PSS_PADDING, with a salt as long as the hash (RFC 7518, 3.5).
    const options = pss ? { key, padding: 6, saltLength: 32 } : { key, dsaEncoding: 'ieee-p1363' as const };
    return verify(hash, signed, options, signature);
  } catch {
    return false;
  }
}

/** The leaf of a chain whose last certificate one that is trusted signed (RFC 7515, 4.1.6). */
function chained(x5c: unknown, keys: readonly TrustedKey[], now: number): TrustedKey[] {
  if (!Array.isArray(x5c) || x5c.length === 0 || x5c.length > 5) return [];
  try {
    const chain = x5c.map((entry) => new X509Certificate(Buffer.from(String(entry), 'base64')));
    const isValid = (one: X509Certificate): boolean =>
      Date.parse(one.validFrom) <= now && now < Date.parse(one.validTo);
    const links = chain.every((one, index) => {
      const above = chain[index + 1];
      return (
        isValid(one) && (above === undefined || (above.ca && one.checkIssued(above) && one.verify(above.publicKey)))
      );
    });
    const last = chain.at(-1)!;
    const anchored = keys.some(
      ({ certificate }) =>
        certificate &&
        isValid(certificate) &&
        (certificate.fingerprint256 === last.fingerprint256 ||
          (certificate.ca && last.checkIssued(certificate) && last.verify(certificate.publicKey))),
    );
    return links && anchored ? [{ id: undefined, key: chain[0]!.publicKey }] : [];
  } catch {
    return [];
  }
}

/** Keys of a JWK set, or of a PEM file with certificates or public keys. Throws `invalid`. */
export function parseTrustedKeys(text: string, file: string): readonly TrustedKey[] {
  try {
    if (text.trimStart().startsWith('{')) {
      const { keys = [] } = JSON.parse(text) as { keys?: readonly (JsonWebKey & { kid?: string })[] };
      const found = keys.map((jwk) => ({ id: jwk.kid, key: createPublicKey({ key: jwk, format: 'jwk' }) }));
      if (found.length > 0) return found;
    }
    const blocks = text.match(/-----BEGIN (CERTIFICATE|PUBLIC KEY)-----[^-]+-----END \1-----/g) ?? [];
    const found = blocks.map((pem): TrustedKey => {
      if (!pem.includes('CERTIFICATE')) return { id: undefined, key: createPublicKey(pem) };
      const certificate = new X509Certificate(pem);
      return { id: undefined, key: certificate.publicKey, certificate };
    });
    if (found.length > 0) return found;
  } catch (error) {
    throw new WherryError('invalid', `${file} has keys that cannot be read`, { cause: error });
  }
  throw new WherryError('invalid', `${file} has no keys: neither a JWK set nor PEM certificates or public keys`);
}

/** The thumbprint of a P-256 key (RFC 7638). */
export function thumbprint(key: KeyObject): string {
  const { crv, kty, x, y } = createPublicKey(key).export({ format: 'jwk' });
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}
