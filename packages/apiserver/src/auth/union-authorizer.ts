import type { Authorizer } from './contract.ts';

/** Asks one authorizer after the other; the first that allows wins (`--authorization-mode=Node,RBAC`). */
export function unionAuthorizer(first: Authorizer['authorize'], rbac: Authorizer): Authorizer {
  return {
    authorize(attributes) {
      const node = first(attributes);
      if (node.allowed) return node;
      const decision = rbac.authorize(attributes);
      return decision.allowed || decision.reason !== '' ? decision : { allowed: false, reason: node.reason };
    },
    rulesFor: (user, namespace) => rbac.rulesFor(user, namespace),
  };
}
