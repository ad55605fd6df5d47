import type { DnsConfig, PortMapping } from '@wherry/runtime';

/**
 * What gives a sandbox its network: shaped like CNI's ADD, DEL and CHECK (CNI spec 1.0), as plain
 * calls. The embedded implementation is a Linux bridge with its own address management; a CNI
 * plug-in directory fits behind the same interface.
 */
export interface PodNetwork {
  /** Connects the network namespace to the network. On failure nothing stays behind. Idempotent for the same id. */
  add(request: NetworkRequest): Promise<NetworkResult>;
  /** Disconnects and frees the address. Never fails for something that is not there. */
  del(request: { readonly id: string; readonly netns: string | undefined }): Promise<void>;
  /** Frees what belongs to none of these ids (after a crash). */
  reconcile(live: ReadonlySet<string>): Promise<void>;
}

export interface NetworkRequest {
  /** The sandbox's id. */
  readonly id: string;
  /** Path of the pinned network namespace. */
  readonly netns: string;
  readonly interfaceName?: string | undefined; // default eth0
  readonly portMappings?: readonly PortMapping[] | undefined;
  /** For logs and comments in rules. */
  readonly name?: string | undefined;
}

export interface NetworkResult {
  readonly ips: readonly string[];
  readonly gateway: string;
  readonly mac: string;
  readonly dns?: DnsConfig | undefined;
}
