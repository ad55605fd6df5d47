/** What a token allows, of the token protocol of docker's registry. */
export interface Grant {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/** Who sent a request. */
export interface Identity {
  readonly user: string | undefined;
  /** Of a token: nothing but these is allowed. */
  readonly grants?: readonly Grant[];
  /** The token is of another issuer, whose users our rules do not know. */
  readonly foreign?: boolean;
}
