import type { V1ObjectReference } from '@wherry/api';

/** `action` belongs to Events of the events.k8s.io style; `related` is the second object of the matter. */
export interface EventDetail {
  readonly action?: string;
  readonly related?: V1ObjectReference;
  readonly annotations?: Readonly<Record<string, string>>;
}
