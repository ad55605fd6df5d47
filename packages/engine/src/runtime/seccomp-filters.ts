import type { RuntimeSpec } from '@wherry/oci';
import type { OciRuntime } from './oci-runtime.ts';

/** crun(1): takes the filter of this annotation, base64, instead of making one of the `seccomp` section. */
const annotation = 'run.oci.seccomp_bpf_data';
/** As many profiles as are in use at one time, and some more. */
const mostFilters = 64;

/**
 * The filters (BPF programs) that an OCI runtime has made of seccomp profiles. Making docker's default one takes it some
 * 8 ms each time; from the second container with the same profile on it gets the program that it made for the first.
 */
export class SeccompFilters {
  readonly #filters = new Map<string, string>();

  /** Adds the filter, where one is known; a runtime that does not know of that still has the profile. */
  withFilter(spec: RuntimeSpec): RuntimeSpec {
    const filter = spec.linux.seccomp && this.#filters.get(keyOf(spec));
    return filter === undefined ? spec : { ...spec, annotations: { ...spec.annotations, [annotation]: filter } };
  }

  /** Takes over what the runtime has made for a container that it has created. */
  learn(runtime: OciRuntime, id: string, spec: RuntimeSpec): void {
    if (spec.linux.seccomp === undefined || annotation in (spec.annotations ?? {})) return;
    const filter = runtime.seccompFilter(id);
    if (filter === undefined || filter.length === 0) return;
    if (this.#filters.size >= mostFilters) this.#filters.clear();
    this.#filters.set(keyOf(spec), filter.toString('base64'));
  }
}

const keyOf = (spec: RuntimeSpec): string => JSON.stringify(spec.linux.seccomp);
