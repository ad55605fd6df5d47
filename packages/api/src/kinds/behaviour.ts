import type { ApiObject, KindDeclaration, PrinterColumn } from '../kind.ts';

/** What a kind does, apart from how it is named and served (which stands in `table.ts`). */
export type Behaviour = Partial<
  Pick<
    KindDeclaration,
    | 'view'
    | 'defaults'
    | 'prepareForCreate'
    | 'prepareForUpdate'
    | 'prepareForStatusUpdate'
    | 'validate'
    | 'validateUpdate'
    | 'validateStatusUpdate'
    | 'warnings'
    | 'validateName'
    | 'specFields'
    | 'gracePeriod'
    | 'defaultPropagation'
    | 'selectableFields'
    | 'selectableFieldNames'
    | 'columns'
    | 'cells'
  >
>;

/** One column of `kubectl get` with the function for its cell. */
export interface Column<T> {
  readonly name: string;
  readonly type?: PrinterColumn['type'];
  /** Shown only with `-o wide`. */
  readonly wide?: boolean;
  readonly description?: string;
  /** `now` in milliseconds since the epoch. */
  cell(object: T, now: number): unknown;
}

/** `columns` and `cells` of a declaration; `T` is the typed form of the kind's objects. */
export function printer<T>(columns: readonly Column<T>[]): Pick<Behaviour, 'columns' | 'cells'> {
  return {
    columns: columns.map((column) => ({
      name: column.name,
      type: column.type ?? 'string',
      format: column.name === 'Name' ? 'name' : '',
      description: column.description ?? '',
      priority: column.wide ? 1 : 0,
    })),
    cells: (object: ApiObject, now: number) => columns.map((column) => column.cell(object as T, now)),
  };
}

/** A behaviour written against the generated type of the kind instead of the untyped `ApiObject`. */
export interface TypedBehaviour<T> {
  readonly view?: KindDeclaration['view'];
  defaults?(object: T): void;
  prepareForCreate?(object: T, context: { readonly now: number; readonly user: string }): void;
  prepareForUpdate?(object: T, old: T, context: { readonly now: number; readonly user: string }): void;
  prepareForStatusUpdate?(object: T, old: T, context: { readonly now: number; readonly user: string }): void;
  validate?: (object: T) => ReturnType<NonNullable<KindDeclaration['validate']>>;
  validateUpdate?: (object: T, old: T) => ReturnType<NonNullable<KindDeclaration['validateUpdate']>>;
  validateStatusUpdate?: (object: T, old: T) => ReturnType<NonNullable<KindDeclaration['validateStatusUpdate']>>;
  warnings?(object: T, old: T | undefined): readonly string[];
  readonly validateName?: KindDeclaration['validateName'];
  readonly specFields?: readonly string[];
  gracePeriod?(object: T, asked: number | undefined): number;
  readonly defaultPropagation?: 'Orphan' | 'Background';
  selectableFields?(object: T): Readonly<Record<string, string>>;
  readonly selectableFieldNames?: readonly string[];
  readonly columns?: readonly PrinterColumn[] | undefined;
  cells?: KindDeclaration['cells'];
}

/**
 * Takes a behaviour written for `T` as one for untyped objects. Sound only because the pipeline
 * decodes against the kind's schema before it calls any of these functions.
 */
export function behaviourOf<T>(typed: TypedBehaviour<T>): Behaviour {
  return typed as unknown as Behaviour;
}
