import { type ApiObject, field, invalidError, type KindDeclaration, labelSelector } from '@wherry/api';
import type { Part } from '../pipeline/modify.ts';
import { copyJson } from '../registry/json.ts';
import type { StoredObject } from '../registry/stored-object.ts';

/** A part of an object that is read and written as an object of its own (or as the object itself). */
export interface Projection {
  /** As what a body is decoded. */
  readonly kind: KindDeclaration;
  /** Which rules apply to the change. */
  readonly part: Part;
  read(live: StoredObject): ApiObject;
  /** Puts the edited part into a copy of the object. */
  write(draft: ApiObject, edited: ApiObject): void;
}

/** The projection behind a subresource; `undefined` when the kind has none of that name. */
export function projectionOf(kind: KindDeclaration, subresource: string): Projection | undefined {
  if (subresource === 'scale') return scaleOf(kind);
  return fieldsOf[`${kind.group}/${kind.resource}/${subresource}`]?.(kind);
}

/** Subresources that write some fields of the object and show all of it. */
const fieldsOf: Readonly<Record<string, (kind: KindDeclaration) => Projection>> = {
  '/pods/ephemeralcontainers': (kind) =>
    whole(kind, (draft, edited) => {
      const added = (edited.spec as Record<string, unknown> | undefined)?.ephemeralContainers;
      (draft.spec as Record<string, unknown>).ephemeralContainers = added ?? [];
    }),
  '/pods/resize': (kind) => whole(kind, resize),
  '/namespaces/finalize': (kind) =>
    whole(kind, (draft, edited) => {
      const finalizers = (edited.spec as { finalizers?: string[] } | undefined)?.finalizers ?? [];
      draft.spec = finalizers.length === 0 ? {} : { ...(draft.spec as object), finalizers };
    }),
  'certificates.k8s.io/certificatesigningrequests/approval': (kind) =>
    whole(kind, (draft, edited) => {
      const { conditions } = (edited.status ?? {}) as { conditions?: unknown };
      draft.status = { ...(draft.status as object | undefined), ...(conditions === undefined ? {} : { conditions }) };
    }),
};

function whole(kind: KindDeclaration, write: Projection['write']): Projection {
  return { kind, part: 'unchecked', read: (live) => live.object, write };
}

interface SizedContainer {
  name: string;
  resources?: unknown;
  resizePolicy?: unknown;
}

function resize(draft: ApiObject, edited: ApiObject): void {
  const spec = draft.spec as { containers: SizedContainer[]; initContainers?: SizedContainer[]; resources?: unknown };
  const wanted = edited.spec as typeof spec | undefined;
  for (const list of ['containers', 'initContainers'] as const) {
    for (const container of spec[list] ?? []) {
      const change = wanted?.[list]?.find((other) => other.name === container.name);
      if (change === undefined) continue;
      if (change.resources !== undefined) container.resources = change.resources;
      if (change.resizePolicy !== undefined) container.resizePolicy = change.resizePolicy;
    }
  }
  if (wanted?.resources !== undefined) spec.resources = wanted.resources;
}

const scaleKind: KindDeclaration = {
  group: 'autoscaling',
  version: 'v1',
  kind: 'Scale',
  resource: 'scales',
  singular: 'scale',
  namespaced: true,
  schema: 'V1Scale',
};

/** `autoscaling/v1` Scale over the paths that the kind names. */
function scaleOf(kind: KindDeclaration): Projection | undefined {
  const paths = kind.subresources?.scale;
  if (paths === undefined) return undefined;
  return {
    kind: scaleKind,
    part: 'main',
    read({ object }) {
      const metadata = object.metadata!;
      const selector = at(object, paths.selector);
      return {
        kind: 'Scale',
        apiVersion: 'autoscaling/v1',
        metadata: copyJson({
          name: metadata.name,
          namespace: metadata.namespace,
          uid: metadata.uid,
          resourceVersion: metadata.resourceVersion,
          creationTimestamp: metadata.creationTimestamp,
        }),
        spec: { replicas: Number(at(object, paths.specReplicas) ?? 0) },
        status: {
          replicas: Number(at(object, paths.statusReplicas) ?? 0),
          ...(selector === undefined ? {} : { selector: selectorText(selector) }),
        },
      };
    },
    write(draft, edited) {
      const replicas = (edited.spec as { replicas?: number } | undefined)?.replicas ?? 0;
      if (!Number.isInteger(replicas) || replicas < 0) {
        throw invalidError({ group: 'autoscaling', kind: 'Scale' }, draft.metadata!.name!, [
          field.invalid('spec.replicas', replicas, 'must be greater than or equal to 0'),
        ]);
      }
      put(draft, paths.specReplicas, replicas);
    },
  };
}

function selectorText(selector: unknown): string {
  if (typeof selector === 'string') return selector;
  const plain = selector as Record<string, unknown>;
  const isSet = plain.matchLabels === undefined && plain.matchExpressions === undefined;
  const whole = isSet ? { matchLabels: plain as Record<string, string> } : plain;
  return labelSelector(whole).text;
}

function steps(path: string): string[] {
  return path.split('.').filter((step) => step !== '');
}

function at(object: ApiObject, path: string): unknown {
  let value: unknown = object;
  for (const step of steps(path)) value = (value as Record<string, unknown> | undefined)?.[step];
  return value;
}

function put(object: ApiObject, path: string, value: unknown): void {
  const names = steps(path);
  let parent: Record<string, unknown> = object;
  for (const name of names.slice(0, -1)) {
    parent[name] ??= {};
    parent = parent[name] as Record<string, unknown>;
  }
  parent[names.at(-1)!] = value;
}
