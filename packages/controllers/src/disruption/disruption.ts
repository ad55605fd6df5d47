import type { V1Deployment, V1Pod, V1PodDisruptionBudget, V1PodDisruptionBudgetStatus } from '@wherry/api';
import { equalJson, keyOf, matchesSelector, resources, sharedIndexes } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { isReady } from '../pods/pod-facts.ts';
import { budgetStatus, closedStatus, expectedOf, grantedOf, needsScale } from './plan.ts';
import { type Scale, ScaleFinder } from './scale.ts';

/** Keeps the status of PodDisruptionBudgets, which evictions go by. */
export function disruptionController(context: ControllerContext): Controller {
  const { client, informers, clock } = context;
  return defineController(context, {
    name: 'controllermanager',
    kind: { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget' },
    start({ queue, events }) {
      const indexes = { namespace: sharedIndexes.namespace };
      const budgets = informers.informer<V1PodDisruptionBudget>(resources.podDisruptionBudgets, { indexes });
      const pods = informers.informer<V1Pod>(resources.pods, { indexes });
      const finder = new ScaleFinder(informers);
      const concerns = (pod: V1Pod): void => {
        for (const budget of budgets.byIndex('namespace', pod.metadata?.namespace ?? ''))
          if (matchesSelector(pod.metadata?.labels, budget.spec?.selector)) queue.add(keyOf(budget));
      };
      const ofNamespace = ({ metadata }: Pick<V1Pod, 'metadata'>): void => {
        for (const budget of budgets.byIndex('namespace', metadata?.namespace ?? '')) queue.add(keyOf(budget));
      };
      const write = async (budget: V1PodDisruptionBudget, status: V1PodDisruptionBudgetStatus): Promise<void> => {
        if (equalJson(budget.status, status)) return;
        const next = { ...budget, status };
        await client.update(resources.podDisruptionBudgets, next, { subresource: 'status' });
      };
      const reportScale = (budget: V1PodDisruptionBudget, scale: Scale): void => {
        if (scale.unmanaged.length === 0) return;
        const selector = JSON.stringify(budget.spec?.selector ?? {});
        const advice =
          'As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.';
        const message = `Pods selected by this PodDisruptionBudget (selector: ${selector}) were found to be unmanaged. ${advice}`;
        events.event(budget, 'Warning', 'UnmanagedPods', message);
      };
      return {
        synced: [budgets.synced, pods.synced, ...finder.synced],
        subscriptions: [
          budgets.onChange(({ object }) => queue.add(keyOf(object))),
          pods.onChange((change) => {
            if (change.type === 'updated') {
              if (equalJson(shown(change.previous), shown(change.object))) return;
              concerns(change.previous);
            }
            concerns(change.object);
          }),
          // The others change their number of replicas through pods as well; a Deployment may do so without any.
          informers.informer<V1Deployment>(resources.deployments).onChange((change) => {
            const same = change.type === 'updated' && change.previous.spec?.replicas === change.object.spec?.replicas;
            if (!same) ofNamespace(change.object);
          }),
        ],
        async reconcile(key) {
          const budget = budgets.get(key);
          if (budget === undefined) return undefined;
          const now = clock.now();
          const selected = pods
            .byIndex('namespace', budget.metadata?.namespace ?? '')
            .filter((pod) => matchesSelector(pod.metadata?.labels, budget.spec?.selector));
          if (selected.length === 0) events.event(budget, 'Normal', 'NoPods', 'No matching pods found');
          const scale = needsScale(budget) ? finder.of(selected) : undefined;
          if (scale) reportScale(budget, scale);
          if (scale?.unscalable) {
            const problem = `found no controllers for pod ${JSON.stringify(scale.unscalable.metadata?.name)}`;
            const message = `Failed to calculate the number of expected pods: ${problem}`;
            events.event(budget, 'Warning', 'CalculateExpectedPodCountFailed', message);
            await write(budget, closedStatus(budget, problem, now));
            return undefined;
          }
          const granted = grantedOf(budget, selected, now);
          for (const pod of granted.overdue) {
            const { namespace, name } = budget.metadata ?? {};
            const message = `Pod was expected by PDB ${namespace}/${name} to be deleted but it wasn't`;
            events.event(pod, 'Warning', 'NotDeleted', message);
          }
          const expected = expectedOf(budget, scale?.replicas ?? selected.length);
          await write(budget, budgetStatus(budget, selected, expected, granted.pods, now));
          return granted.next === undefined ? undefined : { after: granted.next - now };
        },
      };
    },
  });
}

/** What of a pod matters to a budget. */
function shown(pod: V1Pod): unknown {
  const { labels, ownerReferences, deletionTimestamp } = pod.metadata ?? {};
  return [labels, ownerReferences, deletionTimestamp !== undefined, isReady(pod)];
}
