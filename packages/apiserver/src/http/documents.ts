import type { KindDeclaration } from '@wherry/api';
import type { Documents } from './paths.ts';

/** Serves discovery and OpenAPI. */
export function documents(kinds: readonly KindDeclaration[]): {
  readonly serve: Documents;
  paths(): readonly string[];
} {
  void kinds;
  return { serve: () => undefined, paths: () => [] };
}
