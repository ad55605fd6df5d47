import {
  badRequestError,
  type FieldSelector,
  type KindDeclaration,
  type LabelSelector,
  parseFieldSelector,
  parseLabelSelector,
} from '@wherry/api';
import { messageOf } from '@wherry/base';
import type { StoredObject } from '../registry/stored-object.ts';
import { present } from './view.ts';

/** Which objects of a resource a list or watch is about. */
export interface Selection {
  /** `undefined`: all of them. */
  readonly matches: ((object: StoredObject) => boolean) | undefined;
  /** Set when the selection names one object. */
  readonly name: string | undefined;
}

export const everything: Selection = { matches: undefined, name: undefined };

/** Reads the selectors of a request. Errors are 400s in upstream's words. */
export function selectionOf(kind: KindDeclaration, labels: string, fields: string): Selection {
  if (labels === '' && fields === '') return everything;
  const labelSelector = labels === '' ? undefined : parsed(() => parseLabelSelector(labels));
  const fieldSelector = fields === '' ? undefined : parsed(() => parseFieldSelector(fields));
  if (fieldSelector !== undefined) checkFields(kind, fieldSelector);
  return {
    matches: matcher(kind, labelSelector, fieldSelector),
    name: fieldSelector?.required('metadata.name'),
  };
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw badRequestError(messageOf(error));
  }
}

function checkFields(kind: KindDeclaration, selector: FieldSelector): void {
  for (const { field } of selector.requirements) {
    if (field === 'metadata.name' || (field === 'metadata.namespace' && kind.namespaced)) continue;
    if (kind.selectableFieldNames?.includes(field)) continue;
    // Clients put words of their own before these.
    throw badRequestError(
      kind.selectableFieldNames === undefined
        ? `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`
        : `field label not supported: ${field}`,
    );
  }
}

function matcher(
  kind: KindDeclaration,
  labels: LabelSelector | undefined,
  fields: FieldSelector | undefined,
): (object: StoredObject) => boolean {
  const own = fields?.requirements.some(({ field }) => !field.startsWith('metadata.')) ?? false;
  return (candidate) => {
    const { object } = candidate;
    const metadata = object.metadata!;
    if (labels !== undefined && !labels.matches(metadata.labels as Readonly<Record<string, string>>)) return false;
    if (fields === undefined) return true;
    const general = { 'metadata.name': metadata.name ?? '', 'metadata.namespace': metadata.namespace ?? '' };
    if (!own) return fields.matches(general);
    return fields.matches({ ...kind.selectableFields?.(present(kind, candidate).object), ...general });
  };
}
