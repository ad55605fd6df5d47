import type { ApiObject, KindDeclaration } from '@wherry/api';
import type { UserInfo } from '../auth/contract.ts';

export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly kind: KindDeclaration;
  readonly namespace: string; // '' for cluster-scoped
  readonly name: string; // '' before generateName was applied
  readonly subresource: string; // '' for the object itself
  /** The draft: mutating plug-ins change it. `undefined` on DELETE. */
  readonly object: ApiObject | undefined;
  readonly oldObject: ApiObject | undefined;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  /** Sends a `Warning:` header with the answer. */
  readonly warn?: ((text: string) => void) | undefined;
}

/** What a plug-in may look up: current objects from the server's own cache, without a request. */
export interface AdmissionReader {
  get(
    of: { readonly group: string; readonly resource: string },
    namespace: string,
    name: string,
  ): Readonly<ApiObject> | undefined;
  list(of: { readonly group: string; readonly resource: string }, namespace: string): readonly Readonly<ApiObject>[];
  /** Milliseconds since the epoch. */
  now(): number;
}

/** One admission plug-in of a default cluster; failures are `statusError`s (mostly `forbidden`). */
export interface AdmissionPlugin {
  readonly name: string;
  /** Changes `request.object`. */
  admit?(request: AdmissionRequest, reader: AdmissionReader): Promise<void> | void;
  validate?(request: AdmissionRequest, reader: AdmissionReader): Promise<void> | void;
}
