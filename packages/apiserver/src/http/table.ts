import type { ApiObject, KindDeclaration, PrinterColumn } from '@wherry/api';

export type IncludeObject = 'Metadata' | 'Object' | 'None';

const defaultColumns: readonly PrinterColumn[] = [
  {
    name: 'Name',
    type: 'string',
    format: 'name',
    description:
      'Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically.',
  },
  { name: 'Created At', type: 'date', description: 'The time at which the object was created, in UTC.' },
];

/** The `columnDefinitions` of a kind's tables. */
export function columnDefinitions(kind: KindDeclaration): readonly Record<string, unknown>[] {
  return (kind.columns ?? defaultColumns).map((column) => ({
    name: column.name,
    type: column.type,
    format: column.format ?? '',
    description: column.description ?? '',
    priority: column.priority ?? 0,
  }));
}

/** One row of a table. */
export function tableRow(kind: KindDeclaration, object: ApiObject, include: IncludeObject, now: number): unknown {
  const cells =
    kind.cells === undefined || kind.columns === undefined
      ? [object.metadata?.name ?? '', object.metadata?.creationTimestamp ?? null]
      : kind.cells(object, now);
  if (include === 'None') return { cells, object: null };
  return { cells, object: include === 'Object' ? object : partialMetadata(object) };
}

/** A whole `meta.k8s.io/v1` Table. */
export function table(
  kind: KindDeclaration,
  objects: readonly ApiObject[],
  metadata: Record<string, unknown>,
  options: { readonly include: IncludeObject; readonly now: number; readonly headers: boolean },
): Record<string, unknown> {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: options.headers ? columnDefinitions(kind) : null,
    rows: objects.map((object) => tableRow(kind, object, options.include, options.now)),
  };
}

/** The `PartialObjectMetadata` of an object. */
export function partialMetadata(object: ApiObject): Record<string, unknown> {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}
