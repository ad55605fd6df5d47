import type { Random } from '@wherry/base';
import type { AdmissionPlugin } from './contract.ts';
import { defaultTolerationSeconds } from './default-tolerations.ts';
import { limitRanger } from './limit-ranger.ts';
import { namespaceLifecycle } from './namespace-lifecycle.ts';
import { nodeRestriction, runtimeClass, taintNodesByCondition } from './node.ts';
import { podSecurity } from './pod-security.ts';
import { priority } from './priority.ts';
import { resourceQuota } from './resource-quota.ts';
import { serviceAccount } from './service-account.ts';
import { defaultStorageClass, storageObjectInUseProtection } from './storage.ts';

export interface AdmissionOptions {
  /** For the names of token volumes. */
  readonly random: Random;
  /**
   * Whether claims and volumes get their protecting finalizers. Only with controllers that take
   * them off again; without, nothing of the kind could be deleted.
   */
  readonly protectStorage: boolean;
}

/** The plug-ins that are on in a default cluster, in upstream's order. */
export function defaultAdmissionPlugins(options: AdmissionOptions): readonly AdmissionPlugin[] {
  return [
    namespaceLifecycle,
    limitRanger,
    serviceAccount(options.random),
    nodeRestriction,
    taintNodesByCondition,
    podSecurity,
    priority,
    defaultTolerationSeconds,
    defaultStorageClass,
    ...(options.protectStorage ? [storageObjectInUseProtection] : []),
    runtimeClass,
    resourceQuota,
  ];
}
