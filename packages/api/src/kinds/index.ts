import type { KindDeclaration } from '../kind.ts';
import type { Behaviour } from './behaviour.ts';
import { kindRows } from './table.ts';

/** `group/version/Kind` → what the kind does. */
const behaviours: Readonly<Record<string, Behaviour>> = {};

/** Every kind of a default cluster: names and verbs from the table, joined with what each kind does. */
export const builtinKinds: readonly KindDeclaration[] = kindRows().map((row) => ({
  ...row,
  ...behaviours[`${row.group}/${row.version}/${row.kind}`],
}));
