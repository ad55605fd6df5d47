import type { V1Pod, V1Service } from '@wherry/api';
import { equalJson, type Informer, keyOf, matchesLabels } from '@wherry/client';

/** The pods that a service selects; none without a selector. */
export function selectedPods(service: V1Service, podsOfNamespace: readonly V1Pod[]): V1Pod[] {
  const selector = service.spec?.selector;
  if (!selector || Object.keys(selector).length === 0) return [];
  return podsOfNamespace.filter((pod) => matchesLabels(pod.metadata?.labels, selector));
}

/** What of a pod shows in endpoints; a change of anything else wakes nobody. */
function shown(pod: V1Pod): unknown {
  return [
    pod.metadata?.labels,
    pod.metadata?.deletionTimestamp !== undefined,
    pod.spec?.nodeName,
    pod.spec?.hostname,
    pod.status?.podIP,
    pod.status?.podIPs,
    pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed',
    pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status,
  ];
}

/** Calls `add` with the keys of services that a change of a pod concerns. */
export function watchServicePods(
  pods: Informer<V1Pod>,
  services: Informer<V1Service>,
  add: (key: string) => void,
): Disposable {
  const concerns = (pod: V1Pod): void => {
    for (const service of services.byIndex('namespace', pod.metadata?.namespace ?? '')) {
      const selector = service.spec?.selector;
      if (selector && Object.keys(selector).length > 0 && matchesLabels(pod.metadata?.labels, selector))
        add(keyOf(service));
    }
  };
  return pods.onChange((change) => {
    if (change.type === 'updated') {
      if (equalJson(shown(change.previous), shown(change.object))) return;
      if (!equalJson(change.previous.metadata?.labels, change.object.metadata?.labels)) concerns(change.previous);
    } else if (change.type === 'added' && !change.object.status?.podIP) return;
    concerns(change.object);
  });
}
