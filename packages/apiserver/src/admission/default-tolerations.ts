import type { V1Pod, V1Toleration } from '@wherry/api';
import type { AdmissionPlugin } from './contract.ts';
import { isPod } from './refuse.ts';

const keys = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'];
/** How long a pod stays on a node that went away before it is evicted. */
const seconds = 300;

function tolerates(toleration: V1Toleration, key: string): boolean {
  const everything = !toleration.key && toleration.operator === 'Exists';
  const thisOne = toleration.key === key;
  return (everything || thisOne) && (!toleration.effect || toleration.effect === 'NoExecute');
}

/** Pods outlive a short absence of their node. */
export const defaultTolerationSeconds: AdmissionPlugin = {
  name: 'DefaultTolerationSeconds',
  admit(request) {
    if (!isPod(request, 'CREATE', 'UPDATE') || !request.object) return;
    const spec = (request.object as unknown as V1Pod).spec!;
    for (const key of keys) {
      if ((spec.tolerations ?? []).some((toleration) => tolerates(toleration, key))) continue;
      const added: V1Toleration = { effect: 'NoExecute', key, operator: 'Exists', tolerationSeconds: seconds };
      spec.tolerations = [...(spec.tolerations ?? []), added];
    }
  },
};
