import type { Readable } from 'node:stream';
import type { KubeconfigContent } from '@wherry/bootstrap';

/** The steps of a start, in the order in which they are reported. */
export type Phase = 'store' | 'api' | 'network' | 'engine' | 'node' | 'dns';

/** What `wherry status` shows. */
export interface MachineStatus {
  readonly name: string;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: number; // ms
  readonly ready: boolean;
  readonly components: readonly ComponentStatus[];
  /** Of a machine without a cluster these three are missing. */
  readonly apiServer?: string | undefined;
  readonly node?: { readonly name: string; readonly addresses: readonly string[]; readonly ready: boolean } | undefined;
  readonly pods?: { readonly running: number; readonly total: number } | undefined;
  readonly memoryBytes: number;
}

export interface ComponentStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly message: string;
}

/** A running cluster machine: everything in this process. Disposing it stops the process's part; containers go on. */
export interface Machine extends AsyncDisposable {
  status(): MachineStatus;
  /** What the administrator's kubeconfig holds; `undefined` without a cluster. */
  readonly kubeconfig: KubeconfigContent | undefined;
  /** Takes over images from a docker or OCI archive; gives their names. */
  loadImages(archive: Readable): Promise<readonly string[]>;
  /** Ends docker's containers by their own signals and within their own patience; the next start brings back whom its policy wants. */
  stopContainers(): Promise<void>;
}
