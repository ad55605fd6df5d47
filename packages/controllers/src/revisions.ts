import type { V1ControllerRevision, V1PodTemplateSpec } from '@wherry/api';
import { codeOf } from '@wherry/base';
import {
  type ApiClient,
  controllerReference,
  draftOf,
  equalJson,
  type KubeObject,
  type OwnerKind,
  resources,
} from '@wherry/client';
import { templateHash } from './template-hash.ts';

/** Label of pods and revisions with the hash of their template. */
export const revisionHashLabel = 'controller-revision-hash';

/** What a revision keeps: a patch that puts the template back (`kubectl rollout undo` applies it). */
function dataOf(template: V1PodTemplateSpec): object {
  return { spec: { template: { ...draftOf(template), $patch: 'replace' } } };
}

/** Finds the revision of the template, or makes it; an old one that comes back gets the highest number. */
export async function ensureRevision(
  client: ApiClient,
  owner: KubeObject,
  kind: OwnerKind,
  template: V1PodTemplateSpec,
  known: readonly V1ControllerRevision[],
  collisions: number | undefined,
): Promise<V1ControllerRevision> {
  const data = dataOf(template);
  const highest = Math.max(0, ...known.map(({ revision }) => revision));
  const same = known.filter((revision) => equalJson(revision.data, data)).sort((a, b) => b.revision - a.revision)[0];
  if (same) {
    if (same.revision === highest) return same;
    return client.update<V1ControllerRevision>(resources.controllerRevisions, { ...same, revision: highest + 1 });
  }
  const hash = templateHash(template, collisions);
  const { namespace, name } = owner.metadata ?? {};
  const wanted: V1ControllerRevision = {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name: `${name}-${hash}`,
      ...(namespace ? { namespace } : {}),
      labels: { ...template.metadata?.labels, [revisionHashLabel]: hash },
      ownerReferences: [controllerReference(owner, kind)],
    },
    data,
    revision: highest + 1,
  };
  try {
    return await client.create<V1ControllerRevision>(resources.controllerRevisions, wanted);
  } catch (error) {
    if (codeOf(error) !== 'alreadyExists') throw error;
    const at = { namespace, name: wanted.metadata!.name! };
    const found = await client.get<V1ControllerRevision>(resources.controllerRevisions, at);
    if (equalJson(found.data, data)) return found;
    throw error; // a collision of hashes: the caller counts it
  }
}

/** The hash of a revision. */
export function hashOf(revision: V1ControllerRevision): string {
  return revision.metadata?.labels?.[revisionHashLabel] ?? '';
}

/** The template that a revision holds. */
export function templateOf(revision: V1ControllerRevision): V1PodTemplateSpec {
  const { $patch: _, ...template } = (revision.data as { spec: { template: V1PodTemplateSpec & { $patch?: string } } })
    .spec.template;
  return template;
}

/** Deletes the oldest revisions that no pod uses, beyond the limit. */
export async function trimRevisions(
  client: ApiClient,
  known: readonly V1ControllerRevision[],
  used: ReadonlySet<string>,
  limit: number,
): Promise<void> {
  const unused = known.filter((revision) => !used.has(hashOf(revision))).sort((a, b) => a.revision - b.revision);
  for (const { metadata } of unused.slice(0, Math.max(0, unused.length - limit))) {
    const { namespace, name } = metadata ?? {};
    await client.delete(resources.controllerRevisions, { namespace, name: name! }).catch((error: unknown) => {
      if (codeOf(error) !== 'notFound') throw error;
    });
  }
}
