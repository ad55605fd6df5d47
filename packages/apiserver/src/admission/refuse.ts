import { statusError, type V1StatusCause } from '@wherry/api';
import type { WherryError } from '@wherry/base';
import type { AdmissionRequest } from './contract.ts';

/** 403 `pods "x" is forbidden: WHY`; an object without a name yet is called by its `generateName`. */
export function refuse(request: AdmissionRequest, why: string, causes?: readonly V1StatusCause[]): WherryError {
  const { group, resource } = request.kind;
  const name = request.name || request.object?.metadata?.name || request.object?.metadata?.generateName || 'Unknown';
  const qualified = group === '' ? resource : `${resource}.${group}`;
  return statusError('forbidden', `${qualified} ${JSON.stringify(name)} is forbidden: ${why}`, {
    details: {
      name,
      kind: resource,
      ...(group === '' ? {} : { group }),
      ...(causes ? { causes: [...causes] } : {}),
    },
  });
}

/** Whether a request creates (or updates) a whole pod, not one of its subresources. */
export function isPod(request: AdmissionRequest, ...operations: readonly AdmissionRequest['operation'][]): boolean {
  return (
    request.kind.resource === 'pods' &&
    request.kind.group === '' &&
    request.subresource === '' &&
    operations.includes(request.operation)
  );
}

/** Resources that plug-ins look up. */
export const resources = {
  namespaces: { group: '', resource: 'namespaces' },
  serviceAccounts: { group: '', resource: 'serviceaccounts' },
  limitRanges: { group: '', resource: 'limitranges' },
  quotas: { group: '', resource: 'resourcequotas' },
  pods: { group: '', resource: 'pods' },
  priorityClasses: { group: 'scheduling.k8s.io', resource: 'priorityclasses' },
  storageClasses: { group: 'storage.k8s.io', resource: 'storageclasses' },
  runtimeClasses: { group: 'node.k8s.io', resource: 'runtimeclasses' },
} as const;
