import { notFoundError, type V1Namespace } from '@wherry/api';
import type { AdmissionPlugin } from './contract.ts';
import { refuse, resources } from './refuse.ts';

const immortal = new Set(['default', 'kube-system', 'kube-public']);

/** Nothing is put into a namespace that is not there or is going away; the system's own stay. */
export const namespaceLifecycle: AdmissionPlugin = {
  name: 'NamespaceLifecycle',
  admit(request, reader) {
    const { operation, kind, namespace } = request;
    if (kind.group === '' && kind.resource === 'namespaces') {
      if (operation === 'DELETE' && immortal.has(request.name))
        throw refuse(request, 'this namespace may not be deleted');
      return;
    }
    if (!kind.namespaced || namespace === '' || operation === 'DELETE') return;
    if (kind.group === 'authorization.k8s.io') return;
    const found = reader.get(resources.namespaces, '', namespace) as V1Namespace | undefined;
    if (!found) throw notFoundError(resources.namespaces, namespace);
    if (operation !== 'CREATE') return;
    if (found.status?.phase !== 'Terminating' && !found.metadata?.deletionTimestamp) return;
    throw refuse(request, `unable to create new content in namespace ${namespace} because it is being terminated`, [
      {
        reason: 'NamespaceTerminating',
        message: `namespace ${namespace} is being terminated`,
        field: 'metadata.namespace',
      },
    ]);
  },
};
