import type { PeerCertificate } from 'node:tls';

/** Who asks (authentication.k8s.io UserInfo). */
export interface UserInfo {
  readonly username: string;
  readonly uid?: string | undefined;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
}

export interface Credentials {
  /** The verified client certificate of the connection, if there is one. */
  readonly certificate: PeerCertificate | undefined;
  /** The token after `Bearer `, or of the WebSocket subprotocol `base64url.bearer.authorization.k8s.io.…`. */
  readonly bearerToken: string | undefined;
}

export interface Authenticator {
  /**
   * The user, with `system:authenticated` among the groups; `system:anonymous` in
   * `system:unauthenticated` without credentials; rejects with `unauthorized` for bad ones.
   */
  authenticate(credentials: Credentials): Promise<UserInfo>;
  /** For TokenReview: the user and the audiences of a token, or the reason against it. */
  reviewToken(
    token: string,
    audiences: readonly string[] | undefined,
  ): Promise<{ readonly user: UserInfo; readonly audiences: readonly string[] } | { readonly error: string }>;
}

export type Attributes = {
  readonly user: UserInfo;
  readonly verb: string;
} & (
  | {
      readonly resourceRequest: true;
      readonly group: string;
      readonly version: string;
      readonly resource: string;
      readonly subresource: string; // '' without
      readonly namespace: string; // '' without
      readonly name: string; // '' without
    }
  | { readonly resourceRequest: false; readonly path: string }
);

export interface Authorizer {
  /** `reason` is for people. Synchronous on cached rules: it stands in the way of every request. */
  authorize(attributes: Attributes): { readonly allowed: boolean; readonly reason: string };
  /** For SelfSubjectRulesReview. */
  rulesFor(
    user: UserInfo,
    namespace: string,
  ): {
    readonly resourceRules: readonly {
      readonly verbs: readonly string[];
      readonly apiGroups: readonly string[];
      readonly resources: readonly string[];
      readonly resourceNames?: readonly string[];
    }[];
    readonly nonResourceRules: readonly {
      readonly verbs: readonly string[];
      readonly nonResourceURLs: readonly string[];
    }[];
  };
}

/** Issues service-account tokens for the `token` subresource (TokenRequest) and for the kubelet. */
export interface TokenIssuer {
  issue(request: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly audiences: readonly string[]; // empty: the API server itself
    readonly expirationSeconds: number;
    readonly boundObject?:
      | {
          readonly kind: string;
          readonly apiVersion: string;
          readonly name: string;
          readonly uid: string;
          readonly nodeName?: string | undefined;
          readonly nodeUid?: string | undefined;
        }
      | undefined;
  }): Promise<{ readonly token: string; readonly expirationTimestamp: string }>;
  /** The public keys for `/openid/v1/jwks`, and the issuer's URL. */
  readonly issuer: string;
  jwks(): Promise<{ readonly keys: readonly object[] }>;
}
