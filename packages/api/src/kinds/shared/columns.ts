import type { V1ObjectMeta } from '../../../generated/types.ts';
import type { Column } from '../behaviour.ts';
import { ageOf } from './duration.ts';
import { labelsText } from './label-selector.ts';

interface WithMetadata {
  metadata?: V1ObjectMeta | undefined;
}

/** NAME */
export const nameColumn: Column<WithMetadata> = {
  name: 'Name',
  description: 'Name of the object, unique within its namespace while it exists.',
  cell: (object) => object.metadata?.name ?? '',
};

/** AGE, from the creation time. */
export const ageColumn: Column<WithMetadata> = {
  name: 'Age',
  description: 'Time since the object was created.',
  cell: (object, now) => ageOf(object.metadata?.creationTimestamp, now),
};

/** `value`, or `<none>` for nothing. */
export function orNone(value: string | undefined): string {
  return value ? value : '<none>';
}

/** `True` or `False`, as Go prints booleans in tables. */
export function boolText(value: boolean | undefined): string {
  return value ? 'true' : 'false';
}

interface ContainersHolder {
  readonly spec?:
    | { readonly containers: readonly { readonly name: string; readonly image?: string | undefined }[] }
    | undefined;
}

/** CONTAINERS, IMAGES and SELECTOR of the wide form of workloads. */
export function templateColumns<T>(
  templateOf: (object: T) => ContainersHolder | undefined,
  selectorOf: (object: T) => string,
): Column<T>[] {
  const containers = (object: T) => templateOf(object)?.spec?.containers ?? [];
  return [
    {
      name: 'Containers',
      wide: true,
      cell: (o) =>
        containers(o)
          .map((c) => c.name)
          .join(','),
    },
    {
      name: 'Images',
      wide: true,
      cell: (o) =>
        containers(o)
          .map((c) => c.image ?? '')
          .join(','),
    },
    { name: 'Selector', wide: true, cell: selectorOf },
  ];
}

/** A column of `key=value` pairs; `<none>` when there are none. */
export function labelsTextColumn<T>(
  name: string,
  labelsOf: (object: T) => Readonly<Record<string, string>> | undefined,
  wide = false,
): Column<T> {
  return { name, wide, cell: (object) => labelsText(labelsOf(object)) };
}
