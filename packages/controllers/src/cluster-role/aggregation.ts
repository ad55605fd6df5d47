import type { V1ClusterRole, V1PolicyRule } from '@wherry/api';
import { equalJson, keyOf, matchesSelector, resources } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';

/** Gives ClusterRoles with an `aggregationRule` the rules of the roles that it selects (`admin`, `edit`, `view`). */
export function clusterRoleAggregationController(context: ControllerContext): Controller {
  const { client, informers } = context;
  return defineController(context, {
    name: 'clusterrole-aggregation-controller',
    kind: { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole' },
    start({ queue }) {
      const roles = informers.informer<V1ClusterRole>(resources.clusterRoles);
      return {
        synced: [roles.synced],
        subscriptions: [
          roles.onChange(() => {
            for (const role of roles.list()) if (role.aggregationRule) queue.add(keyOf(role));
          }),
        ],
        async reconcile(name) {
          const role = roles.get(name);
          if (!role?.aggregationRule || role.metadata?.deletionTimestamp) return;
          const rules = aggregatedRules(role, roles.list());
          if (equalJson(role.rules ?? [], rules)) return;
          await client.update<V1ClusterRole>(resources.clusterRoles, { ...role, rules });
        },
      };
    },
  });
}

/** The rules of the selected roles in order of their names, each rule once. Pure. */
export function aggregatedRules(role: V1ClusterRole, all: readonly V1ClusterRole[]): V1PolicyRule[] {
  const selectors = role.aggregationRule?.clusterRoleSelectors ?? [];
  const name = role.metadata?.name;
  const chosen = all
    .filter((other) => other.metadata?.name !== name)
    .filter((other) => selectors.some((selector) => matchesSelector(other.metadata?.labels, selector)))
    .sort((a, b) => ((a.metadata?.name ?? '') < (b.metadata?.name ?? '') ? -1 : 1));
  const rules: V1PolicyRule[] = [];
  for (const rule of chosen.flatMap((other) => other.rules ?? []))
    if (!rules.some((known) => equalJson(known, rule))) rules.push(rule);
  return rules;
}
