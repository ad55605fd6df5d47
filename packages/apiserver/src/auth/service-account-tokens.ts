import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { Clock, Random } from '@wherry/base';
import type { TokenIssuer, UserInfo } from './contract.ts';

/** The claims of a bound service-account token (KEP-1205). */
interface Claims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: readonly string[];
  readonly exp: number;
  readonly iat: number;
  readonly nbf: number;
  readonly jti: string;
  readonly 'kubernetes.io': {
    readonly namespace: string;
    readonly serviceaccount: { readonly name: string; readonly uid: string };
    readonly pod?: { readonly name: string; readonly uid: string };
    readonly secret?: { readonly name: string; readonly uid: string };
    readonly node?: { readonly name: string; readonly uid?: string };
  };
}

/** Finds what a token is bound to; `undefined` when it is gone. */
export type BoundObjectLookup = (
  resource: 'serviceaccounts' | 'pods' | 'secrets',
  namespace: string,
  name: string,
) => { readonly uid: string } | undefined;

export interface ServiceAccountTokensOptions {
  /** PEM of a P-256 private key. */
  readonly signingKey: string;
  readonly issuer: string;
  /** The audiences that the API server itself answers to; the first is what tokens get by default. */
  readonly apiAudiences: readonly string[];
  readonly lookup: BoundObjectLookup;
  readonly clock: Clock;
  readonly random: Random;
}

export interface ServiceAccountTokens extends TokenIssuer {
  /** Checks signature, times, audience and that what it is bound to still exists. */
  verify(
    token: string,
    audiences?: readonly string[],
  ): { readonly user: UserInfo; readonly audiences: readonly string[] } | { readonly error: string };
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const maxToken = 16 * 1024;

/** Issues and checks service-account tokens: JWTs signed with ES256 (RFC 7519, RFC 7518 section 3.4). */
export function createServiceAccountTokens(options: ServiceAccountTokensOptions): ServiceAccountTokens {
  const { issuer, apiAudiences, clock, random } = options;
  const privateKey = createPrivateKey(options.signingKey);
  const publicKey = createPublicKey(privateKey);
  const jwk = publicKey.export({ format: 'jwk' });
  const header = encode({ alg: 'ES256', kid: keyId(publicKey) });
  // A signature never changes its verdict: remember the claims of tokens that verified.
  const verified = new Map<string, Claims>();

  const claimsOf = (token: string): Claims | undefined => {
    const known = verified.get(token);
    if (known) return known;
    const claims = verifiedClaims(token, publicKey);
    if (claims) {
      if (verified.size >= 1024) verified.clear();
      verified.set(token, claims);
    }
    return claims;
  };

  return {
    issuer,
    jwks: async () => ({ keys: [{ ...jwk, use: 'sig', alg: 'ES256', kid: keyId(publicKey) }] }),
    async issue(request) {
      const iat = Math.floor(clock.now() / 1000);
      const exp = iat + request.expirationSeconds;
      const bound = request.boundObject;
      const claims: Claims = {
        aud: request.audiences.length > 0 ? request.audiences : apiAudiences.slice(0, 1),
        exp,
        iat,
        iss: issuer,
        jti: random.uuid(),
        'kubernetes.io': {
          namespace: request.namespace,
          ...(bound?.nodeName
            ? { node: { name: bound.nodeName, ...(bound.nodeUid ? { uid: bound.nodeUid } : {}) } }
            : {}),
          ...(bound ? { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } } : {}),
          serviceaccount: { name: request.name, uid: request.uid },
        },
        nbf: iat,
        sub: `system:serviceaccount:${request.namespace}:${request.name}`,
      };
      const body = `${header}.${encode(claims)}`;
      const signature = sign('sha256', Buffer.from(body), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      return {
        token: `${body}.${signature.toString('base64url')}`,
        expirationTimestamp: new Date(exp * 1000).toISOString().replace('.000', ''),
      };
    },
    verify(token, audiences = apiAudiences) {
      const claims = claimsOf(token);
      if (claims === undefined || claims.iss !== issuer) return { error: 'invalid bearer token' };
      const now = clock.now() / 1000;
      if (now >= claims.exp) return { error: 'service account token has expired' };
      if (now < claims.nbf - 60) return { error: 'service account token is not valid yet' };
      const common = claims.aud.filter((audience) => audiences.includes(audience));
      if (common.length === 0)
        return {
          error: `invalid bearer token, token audiences ${JSON.stringify(claims.aud)} is invalid for the target audiences ${JSON.stringify(audiences)}`,
        };
      const problem = bindingProblem(claims, options.lookup);
      return problem ? { error: problem } : { user: userOf(claims), audiences: common };
    },
  };
}

function keyId(key: KeyObject): string {
  const { x, y } = key.export({ format: 'jwk' });
  return `${x}`.slice(0, 22) + `${y}`.slice(0, 21);
}

function verifiedClaims(token: string, key: KeyObject): Claims | undefined {
  if (token.length > maxToken) return undefined;
  const [head, body, signature, ...rest] = token.split('.');
  if (!head || !body || !signature || rest.length > 0) return undefined;
  try {
    if ((JSON.parse(Buffer.from(head, 'base64url').toString()) as { alg?: string }).alg !== 'ES256') return undefined;
    const good = verify(
      'sha256',
      Buffer.from(`${head}.${body}`),
      { key, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
    return good ? (JSON.parse(Buffer.from(body, 'base64url').toString()) as Claims) : undefined;
  } catch {
    return undefined;
  }
}

function bindingProblem(claims: Claims, lookup: BoundObjectLookup): string | undefined {
  const { namespace, serviceaccount, pod, secret } = claims['kubernetes.io'];
  const parts = [
    ['serviceaccounts', serviceaccount, 'service account'],
    ['pods', pod, 'pod'],
    ['secrets', secret, 'secret'],
  ] as const;
  for (const [resource, ref, word] of parts)
    if (ref && lookup(resource, namespace, ref.name)?.uid !== ref.uid)
      return `${word} ${namespace}/${ref.name} has been deleted`;
  return undefined;
}

function userOf(claims: Claims): UserInfo {
  const { namespace, serviceaccount, pod, node } = claims['kubernetes.io'];
  return {
    username: claims.sub,
    uid: serviceaccount.uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
    extra: {
      'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti}`],
      ...(pod
        ? { 'authentication.kubernetes.io/pod-name': [pod.name], 'authentication.kubernetes.io/pod-uid': [pod.uid] }
        : {}),
      ...(node
        ? {
            'authentication.kubernetes.io/node-name': [node.name],
            ...(node.uid ? { 'authentication.kubernetes.io/node-uid': [node.uid] } : {}),
          }
        : {}),
    },
  };
}
