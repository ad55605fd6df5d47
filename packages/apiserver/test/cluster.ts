import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { type ApiObject, builtinKinds, type KindDeclaration } from '@wherry/api';
import {
  type ApiServer,
  type ApiServerOptions,
  type Authorizer,
  createApiServer,
  type UserInfo,
} from '@wherry/apiserver';
import { type Clock, silentLogger, systemClock, systemRandom } from '@wherry/base';
import { createMemoryStore, type Store } from '@wherry/store';

export const admin: UserInfo = { username: 'admin', groups: ['system:masters', 'system:authenticated'] };

/** Masters may do everything, `reader` may read, others nothing. */
const authorizer: Authorizer = {
  authorize: ({ user, verb }) => {
    const allowed =
      user.groups.includes('system:masters') || (user.username === 'reader' && ['get', 'list', 'watch'].includes(verb));
    return { allowed, reason: '' };
  },
  rulesFor: () => ({ resourceRules: [], nonResourceRules: [] }),
};

/** A server on a memory store without admission, listening on loopback. */
export async function startServer(
  more: Partial<ApiServerOptions> & { readonly clock?: Clock; readonly store?: Store } = {},
): Promise<ApiServer> {
  return createApiServer({
    store: createMemoryStore(),
    kinds: builtinKinds as readonly KindDeclaration[],
    authenticator: {
      authenticate: async ({ certificate, bearerToken }) => {
        if (certificate !== undefined) {
          const extra = { 'authentication.kubernetes.io/credential-id': ['X509'] };
          return { username: `cert:${certificate.subject.CN}`, groups: ['system:masters'], extra };
        }
        if (bearerToken === undefined) return { username: 'system:anonymous', groups: ['system:unauthenticated'] };
        if (bearerToken === 'admin') return admin;
        return { username: bearerToken, groups: ['system:authenticated'] };
      },
      reviewToken: async (token) => ({ user: { username: token, groups: [] }, audiences: ['api'] }),
    },
    authorizer,
    tokenIssuer: {
      issuer: 'https://kubernetes.default.svc',
      issue: async ({ name }) => ({ token: `token-of-${name}`, expirationTimestamp: '2030-01-01T00:00:00Z' }),
      jwks: async () => ({ keys: [] }),
    },
    admission: [],
    streamsOf: () => undefined,
    serviceCidr: '10.96.0.0/16',
    version: {
      major: '1',
      minor: '36',
      gitVersion: 'v1.36.0',
      gitCommit: '',
      gitTreeState: 'clean',
      buildDate: '2026-01-01T00:00:00Z',
      goVersion: 'none',
      compiler: 'none',
      platform: 'linux/amd64',
    },
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    tls: await certificates(),
    advertise: { address: '192.0.2.1', port: 6443 },
    ...more,
  });
}

let made: Promise<ApiServerOptions['tls']> | undefined;

/** A certificate for loopback, made once. */
export function certificates(): Promise<ApiServerOptions['tls']> {
  made ??= makeCertificate();
  return made;
}

/** A key and a certificate of its own authority, for loopback. */
export async function makeCertificate(): Promise<ApiServerOptions['tls']> {
  x509.cryptoProvider.set(webcrypto as never);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=test',
    keys,
    signingAlgorithm: algorithm,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 86_400_000),
    extensions: [
      new x509.BasicConstraintsExtension(true),
      new x509.SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'dns', value: 'localhost' },
      ]),
    ],
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const cert = certificate.toString('pem');
  return { key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`, cert, clientCa: cert };
}

/** A ConfigMap for tests. */
export function configMap(name: string, data: Record<string, string> = {}, namespace = 'default'): ApiObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data };
}
