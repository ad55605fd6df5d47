import { networkInterfaces } from 'node:os';
import { Nftables } from '@wherry/linux';

/**
 * Numbers of clusters whose interfaces or rules are on this machine now, whoever remembers them: those of another
 * user's folder, or of a test, are in no list of ours.
 */
export function usedSlots(): ReadonlySet<number> {
  const names = [...Object.keys(networkInterfaces()), ...tableNames()];
  return new Set(names.flatMap((name) => /^(?:wherry-\w+-)?wherry(\d+)$/.exec(name)?.slice(1) ?? []).map(Number));
}

function tableNames(): string[] {
  let nftables: Nftables;
  try {
    nftables = Nftables.open({});
  } catch {
    return []; // without libnftables nobody has rules of ours here
  }
  using _ = nftables;
  return nftables.list('list tables').map(({ table }) => String((table as { name?: unknown } | undefined)?.name));
}
