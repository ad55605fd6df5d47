import { MemoryTables } from './memory-tables.ts';
import { type MvccOptions, MvccStore } from './mvcc-store.ts';
import type { Store } from './store.ts';

/** A store in memory, with the semantics of the lasting ones. */
export function createMemoryStore(options: MvccOptions = {}): Store {
  return new MvccStore(new MemoryTables(), options);
}
