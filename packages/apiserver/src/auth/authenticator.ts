import { createHash } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import { statusError } from '@wherry/api';
import type { Authenticator, UserInfo } from './contract.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';

/** The user behind requests that bring no credentials. */
export const anonymous: UserInfo = { username: 'system:anonymous', groups: ['system:unauthenticated'] };

export interface AuthenticatorOptions {
  readonly serviceAccountTokens: ServiceAccountTokens;
  /** Whether requests without credentials become `system:anonymous` (default) or fail. */
  readonly allowAnonymous?: boolean | undefined;
}

/** Client certificates (subject CN and O) and service-account tokens. */
export function createAuthenticator({
  serviceAccountTokens,
  allowAnonymous = true,
}: AuthenticatorOptions): Authenticator {
  const unauthorized = (): Error => statusError('unauthorized', 'Unauthorized');
  return {
    async authenticate({ certificate, bearerToken }) {
      if (certificate !== undefined) {
        const user = certificateUser(certificate);
        if (user) return user;
      }
      if (bearerToken !== undefined) {
        const result = serviceAccountTokens.verify(bearerToken);
        if ('error' in result) throw unauthorized();
        return result.user;
      }
      if (!allowAnonymous) throw unauthorized();
      return anonymous;
    },
    async reviewToken(token, audiences) {
      return serviceAccountTokens.verify(token, audiences?.length ? audiences : undefined);
    },
  };
}

/** The user of a verified client certificate: common name and organisations. */
function certificateUser(certificate: PeerCertificate): UserInfo | undefined {
  const subject = certificate.subject as unknown as Record<string, string | string[]> | undefined;
  const name = subject?.CN;
  if (typeof name !== 'string' || name === '') return undefined;
  const organisations = subject?.O;
  const groups = organisations === undefined ? [] : Array.isArray(organisations) ? organisations : [organisations];
  const fingerprint = createHash('sha256').update(certificate.raw).digest('hex');
  return {
    username: name,
    groups: [...groups, 'system:authenticated'],
    extra: { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${fingerprint}`] },
  };
}
