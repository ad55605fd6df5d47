import type { ApiObject } from '@wherry/api';
import type { ResourceHooks } from '../pipeline/core.ts';

/** A namespace stays until its `spec.finalizers` are gone, and says that it is going. */
export const namespaceHooks: ResourceHooks = {
  holdsBack: (object) => ((object.spec as { finalizers?: string[] } | undefined)?.finalizers?.length ?? 0) > 0,
  markDeleted: (draft: ApiObject) => {
    draft.status = { ...(draft.status as object | undefined), phase: 'Terminating' };
  },
};
