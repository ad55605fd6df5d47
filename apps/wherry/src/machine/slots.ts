import { readFileSync } from 'node:fs';
import { codeOf } from '@wherry/base';
import { Nftables } from '@wherry/linux';

/** Numbers in the names of clusters' interfaces and tables, whoever remembers the clusters. */
export interface Slots {
  /** Those that somebody has now. */
  used(): ReadonlySet<number>;
  /** Takes one before anybody else does; false when somebody has it. */
  claim(slot: number): boolean;
  /** Gives back one that was claimed and is not used. */
  release(slot: number): void;
}

/** Those of this machine: clusters of another user's folder, or of a test, are in no list of ours. */
export const machineSlots: Slots = { used: usedSlots, claim: claimSlot, release: releaseSlot };

/** The table of docker's networks of a cluster. */
export const dockerTable = (bridge: string): string => `wherry-docker-${bridge}`;

/** By their interfaces and rules. */
function usedSlots(): ReadonlySet<number> {
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
  using nftables = openNftables();
  const tables = nftables?.list('list tables') ?? [];
  return tables.map(({ table }) => String((table as { name?: unknown } | undefined)?.name));
}

/** The kernel gives a name to one alone; the networks fill this table when they need it, and `down` takes it away. */
function claimSlot(slot: number): boolean {
  using nftables = openNftables();
  try {
    nftables?.run(`create table inet ${dockerTable(`wherry${slot}`)}`);
    return true;
  } catch (error) {
    if (codeOf(error) === 'alreadyExists') return false;
    throw error;
  }
}

function releaseSlot(slot: number): void {
  using nftables = openNftables();
  nftables?.run(`delete table inet ${dockerTable(`wherry${slot}`)}`);
}

/** Without the library nobody has rules of ours here. */
function openNftables(): Nftables | undefined {
  try {
    return Nftables.open();
  } catch {
    return undefined;
  }
}
