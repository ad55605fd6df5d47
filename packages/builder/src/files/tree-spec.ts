import { type ContextSpec, openContext } from './build-context.ts';
import { SourceTree } from './source-tree.ts';

/** A tree that is copied from, as a thread is told of it. */
export type TreeSpec =
  | { readonly kind: 'folder'; readonly root: string; readonly keepsOwners?: boolean }
  | ({ readonly kind: 'context' } & ContextSpec);

const contexts = new WeakMap<TreeSpec, SourceTree>();

/** Throws `invalid` for a context whose ignore file cannot be read; it is read once. */
export function openTree(spec: TreeSpec): SourceTree {
  if (spec.kind === 'folder') return new SourceTree(spec.root, spec);
  const known = contexts.get(spec);
  if (known) return known;
  const tree = openContext(spec);
  contexts.set(spec, tree);
  return tree;
}
