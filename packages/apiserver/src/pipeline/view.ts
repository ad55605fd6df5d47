import type { ApiObject, KindDeclaration } from '@wherry/api';
import { groupVersionOf } from '../registry/catalog.ts';
import { copyJson } from '../registry/json.ts';
import { StoredObject } from '../registry/stored-object.ts';

const presented = new WeakMap<StoredObject, Map<KindDeclaration, StoredObject>>();

/** An object as a kind shows it: itself, or converted once when the kind is a view of another. */
export function present(kind: KindDeclaration, stored: StoredObject): StoredObject {
  if (kind.view === undefined) return stored;
  let views = presented.get(stored);
  if (views === undefined) {
    views = new Map();
    presented.set(stored, views);
  }
  let view = views.get(kind);
  if (view === undefined) {
    const object = kind.view.fromStored(copyJson(stored.object));
    view = StoredObject.transient({ ...object, apiVersion: groupVersionOf(kind), kind: kind.kind });
    views.set(kind, view);
  }
  return view;
}

/** The stored form of what a client sent. */
export function stored(kind: KindDeclaration, storage: KindDeclaration, object: ApiObject): ApiObject {
  const converted = kind.view === undefined ? object : kind.view.toStored(object);
  converted.apiVersion = groupVersionOf(storage);
  converted.kind = storage.kind;
  return converted;
}
