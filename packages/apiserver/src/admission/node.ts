import type { V1Node, V1Pod, V1RuntimeClass } from '@wherry/api';
import type { AdmissionPlugin, AdmissionReader, AdmissionRequest } from './contract.ts';
import { isPod, refuse, resources } from './refuse.ts';

const notReady = 'node.kubernetes.io/not-ready';
const userPrefix = 'system:node:';
const restrictedPrefix = 'node-restriction.kubernetes.io/';

/** A new node takes no pods before it is ready. */
export const taintNodesByCondition: AdmissionPlugin = {
  name: 'TaintNodesByCondition',
  admit(request) {
    if (request.kind.resource !== 'nodes' || request.kind.group !== '' || request.subresource !== '') return;
    if (request.operation !== 'CREATE' || !request.object) return;
    const node = request.object as unknown as V1Node;
    node.spec ??= {};
    const taints = node.spec.taints ?? [];
    if (taints.some((taint) => taint.key === notReady && taint.effect === 'NoSchedule')) return;
    node.spec.taints = [...taints, { key: notReady, effect: 'NoSchedule' }];
  },
};

function checkNode(request: AdmissionRequest, self: string): void {
  const name = request.name || request.object?.metadata?.name || '';
  if (name !== self) {
    throw refuse(request, `node ${JSON.stringify(self)} is not allowed to modify node ${JSON.stringify(name)}`);
  }
  const labels = (object: AdmissionRequest['object']) => object?.metadata?.labels ?? {};
  const [now, old] = [labels(request.object), labels(request.oldObject)];
  const changed = [...new Set([...Object.keys(now), ...Object.keys(old)])].filter((key) => now[key] !== old[key]);
  const restricted = changed.filter((key) => key.includes(restrictedPrefix)).sort();
  if (request.object && restricted.length > 0) {
    throw refuse(request, `is not allowed to modify labels: ${restricted.join(', ')}`);
  }
  if (request.operation !== 'UPDATE') return;
  const taints = (object: AdmissionRequest['object']) =>
    JSON.stringify((object as V1Node | undefined)?.spec?.taints ?? []);
  if (taints(request.object) !== taints(request.oldObject)) {
    throw refuse(request, `node ${JSON.stringify(self)} is not allowed to modify taints`);
  }
}

function checkPod(request: AdmissionRequest, self: string, current: V1Pod | undefined): void {
  const pod = (request.object ?? request.oldObject ?? current) as V1Pod | undefined;
  if (request.operation === 'CREATE' && request.subresource === '') {
    if (pod?.metadata?.annotations?.['kubernetes.io/config.mirror'] === undefined) {
      throw refuse(
        request,
        `pod does not have "kubernetes.io/config.mirror" annotation, node ${JSON.stringify(self)} can only create mirror pods`,
      );
    }
    if (pod.spec?.nodeName !== self) {
      throw refuse(request, `node ${JSON.stringify(self)} can only create pods with spec.nodeName set to itself`);
    }
    return;
  }
  const owner =
    (request.oldObject as V1Pod | undefined)?.spec?.nodeName ?? current?.spec?.nodeName ?? pod?.spec?.nodeName;
  const words: Readonly<Record<string, string>> = {
    DELETE: 'can only delete pods with spec.nodeName set to itself',
    UPDATE: 'can only update pod status for pods with spec.nodeName set to itself',
    CREATE: 'can only evict pods with spec.nodeName set to itself',
  };
  const sentence = words[request.operation];
  if (sentence && owner !== self) throw refuse(request, `node ${JSON.stringify(self)} ${sentence}`);
}

/** A kubelet gets tokens for pods that run on it, bound to them. */
function checkToken(request: AdmissionRequest, self: string, reader: AdmissionReader): void {
  const ref = (request.object as { spec?: { boundObjectRef?: { kind?: string; name?: string; uid?: string } } })?.spec
    ?.boundObjectRef;
  if (ref?.kind !== 'Pod' || !ref.name) throw refuse(request, 'node requested token not bound to a pod');
  if (!ref.uid) throw refuse(request, 'node requested token with a pod binding without a uid');
  const pod = reader.get(resources.pods, request.namespace, ref.name) as V1Pod | undefined;
  if (pod === undefined) throw refuse(request, `pod ${JSON.stringify(ref.name)} not found`);
  if (pod.metadata?.uid !== ref.uid) throw refuse(request, 'the UID in the bound object reference is another');
  if (pod.spec?.nodeName !== self) {
    throw refuse(request, `node requested token bound to a pod scheduled on a different node`);
  }
}

/** A kubelet changes its own node and the pods on it, nothing else. */
export const nodeRestriction: AdmissionPlugin = {
  name: 'NodeRestriction',
  admit(request, reader) {
    const { user, kind } = request;
    if (!user.username.startsWith(userPrefix) || !user.groups.includes('system:nodes') || kind.group !== '') return;
    const self = user.username.slice(userPrefix.length);
    if (kind.resource === 'nodes') checkNode(request, self);
    if (kind.resource === 'serviceaccounts' && request.subresource === 'token') checkToken(request, self, reader);
    if (kind.resource === 'pods') {
      const current = reader.get(resources.pods, request.namespace, request.name) as V1Pod | undefined;
      checkPod(request, self, current);
    }
  },
};

/** A pod that names a runtime class gets what the class adds: overhead, where it may run. */
export const runtimeClass: AdmissionPlugin = {
  name: 'RuntimeClass',
  admit(request, reader) {
    if (!isPod(request, 'CREATE') || !request.object) return;
    const spec = (request.object as unknown as V1Pod).spec!;
    const name = spec.runtimeClassName;
    if (!name) return;
    const found = reader.get(resources.runtimeClasses, '', name) as unknown as V1RuntimeClass | undefined;
    if (!found) throw refuse(request, `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
    const overhead = found.overhead?.podFixed;
    if (spec.overhead && JSON.stringify(spec.overhead) !== JSON.stringify(overhead ?? {})) {
      throw refuse(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
    }
    if (overhead) spec.overhead = { ...overhead };
    for (const [key, value] of Object.entries(found.scheduling?.nodeSelector ?? {})) {
      const own = spec.nodeSelector?.[key];
      if (own !== undefined && own !== value) {
        throw refuse(
          request,
          `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
        );
      }
      spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
    }
    const extra = found.scheduling?.tolerations ?? [];
    if (extra.length > 0)
      spec.tolerations = [...(spec.tolerations ?? []), ...extra.map((toleration) => ({ ...toleration }))];
  },
};
