import type { ResourceId } from '@wherry/client';

/** A resource with the kind of its objects, as discovery tells them. */
export interface KindResource extends ResourceId {
  readonly kind: string;
}

/** Gives the resources that can be listed, watched and deleted; asked anew each time (custom kinds come and go). */
export type KindSource = () => Promise<readonly KindResource[]> | readonly KindResource[];
