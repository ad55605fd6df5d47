import type { V1Pod, V1PodTemplateSpec } from '@wherry/api';
import type { Random } from '@wherry/base';
import { controllerReference, draftOf, type KubeObject, type OwnerKind } from '@wherry/client';

/** The longest base of a generated name (apiserver `maxGeneratedNameLength`). */
const longestBase = 58;

/** A name as the API server generates it: base and five safe letters. */
export function generatedName(base: string, random: Random): string {
  return base.slice(0, longestBase) + random.suffix(5);
}

/** A pod of a template that `owner` controls. `name` is left to `generateName`'s rule when not given. */
export function podFromTemplate(
  template: V1PodTemplateSpec | undefined,
  owner: KubeObject,
  kind: OwnerKind,
  { random, name }: { random: Random; name?: string },
): V1Pod {
  const { labels, annotations, finalizers } = template?.metadata ?? {};
  const prefix = `${owner.metadata?.name ?? ''}-`;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: name ?? generatedName(prefix, random),
      ...(name === undefined ? { generateName: prefix } : {}),
      ...(owner.metadata?.namespace ? { namespace: owner.metadata.namespace } : {}),
      ...(labels ? { labels: { ...labels } } : {}),
      ...(annotations ? { annotations: { ...annotations } } : {}),
      ...(finalizers?.length ? { finalizers: [...finalizers] } : {}),
      ownerReferences: [controllerReference(owner, kind)],
    },
    spec: draftOf(template?.spec ?? { containers: [] }),
  };
}
