import { readFileSync } from 'node:fs';
import { Nftables } from '@wherry/linux';

/**
 * Numbers of clusters whose interfaces or rules are on this machine now, whoever remembers them: those of another
 * user's folder, or of a test, are in no list of ours.
 */
export function usedSlots(): ReadonlySet<number> {
  const names = [...interfaceNames(), ...tableNames()];
  const numbers = names.flatMap((name) => /^(?:(?:wherry-\w+-)?wherry|wdocker)(\d+)$/.exec(name)?.slice(1) ?? []);
  return new Set(numbers.map(Number));
}

/** Those that are down or not connected, too. */
function interfaceNames(): string[] {
  const lines = readFileSync('/proc/self/net/dev', 'utf8').split('\n').slice(2);
  return lines.map((line) => line.slice(0, line.indexOf(':')).trim());
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
