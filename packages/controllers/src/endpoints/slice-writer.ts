import type { V1EndpointSlice } from '@wherry/api';
import { type Clock, codeOf, type Random } from '@wherry/base';
import {
  type ApiClient,
  controllerReference,
  type Informer,
  type KubeObject,
  keyOf,
  type OwnerKind,
  resources,
} from '@wherry/client';
import { createdPod, Expectations } from '../pods/expectations.ts';
import { generatedName } from '../pods/pod-from-template.ts';
import type { SlicePlan } from './plan.ts';

export const serviceNameLabel = 'kubernetes.io/service-name';
export const managedByLabel = 'endpointslice.kubernetes.io/managed-by';

/** Index function: the key of the service that a slice is of. */
export function sliceService(slice: V1EndpointSlice): readonly string[] {
  const name = slice.metadata?.labels?.[serviceNameLabel];
  return name === undefined ? [] : [`${slice.metadata?.namespace}/${name}`];
}

/** Writes the EndpointSlices of one manager and knows which of them the local copy does not show yet. */
export class SliceWriter {
  readonly #parts;
  readonly #expectations: Expectations;

  constructor(parts: {
    readonly client: ApiClient;
    readonly clock: Clock;
    readonly random: Random;
    /** Value of `endpointslice.kubernetes.io/managed-by`. */
    readonly manager: string;
    /** The kind of the slices' owners. */
    readonly kind: OwnerKind;
  }) {
    this.#parts = parts;
    this.#expectations = new Expectations(parts.clock);
  }

  /** Calls `add` with the service whose slice of ours changed. */
  watch(slices: Informer<V1EndpointSlice>, add: (service: string) => void): Disposable {
    return slices.onChange(({ type, object }) => {
      const [service] = sliceService(object);
      if (service === undefined || object.metadata?.labels?.[managedByLabel] !== this.#parts.manager) return;
      if (type !== 'updated') this.#expectations.settle(service, createdPod(keyOf(object)));
      add(service);
    });
  }

  /** False while a slice that was created has not come back: it wakes the service when it does. */
  isSettled(service: string): boolean {
    return this.#expectations.satisfied(service);
  }

  /** Carries a plan out. `owner` has the service's name. */
  async apply(
    owner: KubeObject,
    service: string,
    plan: SlicePlan,
    labels: Readonly<Record<string, string>>,
    annotations?: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { client, random, kind } = this.#parts;
    const { name: ownerName, namespace } = owner.metadata ?? {};
    for (const slice of plan.update) await client.update(resources.endpointSlices, slice);
    for (const part of plan.create) {
      const slice: V1EndpointSlice = {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: generatedName(`${ownerName}-`, random),
          generateName: `${ownerName}-`,
          ...(namespace ? { namespace } : {}),
          labels: { ...labels },
          ...(annotations ? { annotations: { ...annotations } } : {}),
          ownerReferences: [controllerReference(owner, kind)],
        },
        ...part,
      };
      const expected = createdPod(keyOf(slice));
      this.#expectations.expect(service, expected);
      try {
        await client.create(resources.endpointSlices, slice);
      } catch (error) {
        this.#expectations.settle(service, expected);
        throw error;
      }
    }
    for (const slice of plan.remove) await this.remove(slice);
  }

  async remove(slice: V1EndpointSlice): Promise<void> {
    const { namespace, name } = slice.metadata ?? {};
    try {
      await this.#parts.client.delete(resources.endpointSlices, { namespace, name: name! });
    } catch (error) {
      if (codeOf(error) !== 'notFound') throw error;
    }
  }

  /** Removes the slices of a service that is no longer ours. */
  async removeAll(service: string, slices: readonly V1EndpointSlice[]): Promise<void> {
    this.#expectations.forget(service);
    for (const slice of slices) await this.remove(slice);
  }
}
