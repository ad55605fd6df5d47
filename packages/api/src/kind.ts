import type { V1ObjectMeta } from '../generated/types.ts';
import type { FieldError } from './field-error.ts';

/** Any object of the API while the server works on it: plain JSON. */
export interface ApiObject {
  apiVersion?: string;
  kind?: string;
  metadata?: V1ObjectMeta;
  [field: string]: unknown;
}

export type Verb = 'create' | 'delete' | 'deletecollection' | 'get' | 'list' | 'patch' | 'update' | 'watch';

/** What a strategy knows beside the objects. */
export interface StrategyContext {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Name of the user who asks. */
  readonly user: string;
}

export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly format?: string | undefined; // 'name' for the first column
  readonly description?: string | undefined;
  /** 0: always shown; 1: only with `-o wide`. */
  readonly priority?: number | undefined;
}

/**
 * One kind of the API: everything that the request pipeline must know about it. Nothing about a
 * kind stands in the pipeline itself; a CustomResourceDefinition becomes one of these, too.
 * The functions take drafts that they may change where said so, and are otherwise pure.
 */
export interface KindDeclaration {
  readonly group: string; // '' for core
  readonly version: string;
  readonly kind: string;
  readonly resource: string; // plural, lower case
  readonly singular: string;
  readonly shortNames?: readonly string[] | undefined;
  readonly categories?: readonly string[] | undefined;
  readonly namespaced: boolean;
  /** Name of the generated schema, e.g. `V1Pod`. */
  readonly schema: string;
  /** Default: all. A kind that is only created (reviews, bindings) has `['create']` and no storage. */
  readonly verbs?: readonly Verb[] | undefined;
  /**
   * The declaration under which objects are stored when this is only another view of them
   * (autoscaling/v1 of v2, events.k8s.io/v1 of core/v1): conversion both ways.
   */
  readonly view?: {
    readonly of: { readonly group: string; readonly version: string; readonly resource: string };
    fromStored(stored: ApiObject): ApiObject;
    toStored(own: ApiObject): ApiObject;
  };
  readonly subresources?: {
    /** `status` is written on its own and ignored on the main resource. */
    readonly status?: boolean | undefined;
    /** Paths in the object for the Scale view. */
    readonly scale?:
      | { readonly specReplicas: string; readonly statusReplicas: string; readonly selector: string }
      | undefined;
    /** Served by the API server's own handlers: log, exec, binding, token … */
    readonly others?:
      | readonly {
          readonly name: string;
          readonly kind: string;
          readonly group?: string;
          readonly version?: string;
          readonly verbs: readonly string[];
        }[]
      | undefined;
  };
  /** Fills defaults in. Changes its argument. Runs on every write and on what is read from the store. */
  defaults?(object: ApiObject): void;
  /** Before a create: clear `status`, set what the server sets. Changes its argument. `generation` is 1 by the pipeline when `specFields` is set. */
  prepareForCreate?(object: ApiObject, context: StrategyContext): void;
  /** Before an update of the main resource (status was already put back from `old`). Changes `object`. */
  prepareForUpdate?(object: ApiObject, old: ApiObject, context: StrategyContext): void;
  /** Before an update of `/status` (everything but status was already put back from `old`, metadata as upstream allows). */
  prepareForStatusUpdate?(object: ApiObject, old: ApiObject, context: StrategyContext): void;
  validate?(object: ApiObject): readonly FieldError[];
  /** `validate` runs as well. */
  validateUpdate?(object: ApiObject, old: ApiObject): readonly FieldError[];
  validateStatusUpdate?(object: ApiObject, old: ApiObject): readonly FieldError[];
  /** Warnings for the `Warning:` header. */
  warnings?(object: ApiObject, old: ApiObject | undefined): readonly string[];
  /** How `metadata.name` is checked; default: DNS subdomain. Gives the problems with the name. */
  validateName?(name: string, prefix: boolean): readonly string[];
  /** Fields whose change raises `metadata.generation` (`spec`, `metadata.annotations`); `undefined`: the kind has no generation. */
  readonly specFields?: readonly string[] | undefined;
  /** `delete` with a grace period (pods): seconds, and how an already terminating object reacts. */
  gracePeriod?(object: ApiObject, asked: number | undefined): number;
  /** Upstream's default `propagationPolicy` for this kind (jobs in batch/v1 and others: background). */
  readonly defaultPropagation?: 'Orphan' | 'Background' | undefined;
  /** Fields for field selectors beside `metadata.name` and `metadata.namespace`. */
  selectableFields?(object: ApiObject): Readonly<Record<string, string>>;
  /** Names of those fields, so that an unknown one is refused. */
  readonly selectableFieldNames?: readonly string[] | undefined;
  /** For tables; default: NAME and AGE. */
  readonly columns?: readonly PrinterColumn[] | undefined;
  /** One cell a column. `now` in ms for ages. */
  cells?(object: ApiObject, now: number): readonly unknown[];
}
