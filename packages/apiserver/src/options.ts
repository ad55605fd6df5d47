import type { Duplex } from 'node:stream';
import type { ApiObject, KindDeclaration } from '@wherry/api';
import type { Clock, Logger, Random } from '@wherry/base';
import type { PodStreams } from '@wherry/runtime';
import type { Store } from '@wherry/store';
import type { AdmissionPlugin, AdmissionReader } from './admission/contract.ts';
import type { Authenticator, Authorizer, TokenIssuer } from './auth/contract.ts';
import type { NodePortHolder } from './services/allocator.ts';

/** Current objects out of the server's own cache, and when a resource changed last. */
export interface CacheReader extends AdmissionReader {
  /** Grows whenever an object of the resource changes. */
  generation(of: { readonly group: string; readonly resource: string }): number;
}

/** `/version` (apimachinery `version.Info`). */
export interface VersionInfo {
  readonly major: string;
  readonly minor: string;
  readonly gitVersion: string;
  readonly gitCommit: string;
  readonly gitTreeState: string;
  readonly buildDate: string;
  readonly goVersion: string;
  readonly compiler: string;
  readonly platform: string;
  readonly [more: string]: string;
}

/** A part that reads the server's cache, so that it can be made only once that is there. */
export type FromReader<T> = T | ((reader: CacheReader) => T);

export interface ApiServerOptions {
  readonly store: Store;
  readonly kinds: readonly KindDeclaration[];
  readonly authenticator: FromReader<Authenticator>;
  readonly authorizer: FromReader<Authorizer>;
  readonly tokenIssuer: FromReader<TokenIssuer>;
  readonly admission: readonly AdmissionPlugin[];
  /** The streams of a node's pods; `undefined` when the node does not answer. */
  readonly streamsOf: (nodeName: string) => PodStreams | undefined;
  /** Opens a connection to an address in the pod network, for `proxy`. */
  readonly dialPod?: ((address: string, port: number) => Promise<Duplex>) | undefined;
  /** IPv4 range of the cluster IPs, `10.96.0.0/12`. Its first address is the API server's. */
  readonly serviceCidr: string;
  /** Inclusive; default 30000 to 32767. */
  readonly nodePortRange?: { readonly from: number; readonly to: number } | undefined;
  /** Who publishes a port of the nodes beside the services: those are given to none. */
  readonly nodePortHolder?: NodePortHolder | undefined;
  readonly version: VersionInfo;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** PEM texts. */
  readonly tls: { readonly key: string; readonly cert: string; readonly clientCa: string };
  /** Where pods and clients outside reach this server: the endpoint of `default/kubernetes`. */
  readonly advertise: { readonly address: string; readonly port: number };
  /** Created at start where absent (RBAC roles and bindings and the like). */
  readonly bootstrapObjects?: readonly ApiObject[] | undefined;
  /** How long Events are kept, milliseconds; default an hour. */
  readonly eventLifetime?: number | undefined;
}
