import { type Clock, type Logger, messageOf, systemClock } from '@wherry/base';
import { decodeAttributes, textOf } from '../netlink/attributes.ts';
import { onNetlinkEvents } from '../netlink/netlink-events.ts';
import type { NetlinkMessage } from '../netlink/netlink-message.ts';
import { NetlinkSocket, netlinkFamily } from '../netlink/netlink-socket.ts';
import { Nftables } from './nftables.ts';

/** NFNLGRP_NFTABLES and NFNL_SUBSYS_NFTABLES (linux/netfilter/nfnetlink.h). */
const nftablesGroup = 7;
const subsystem = 10;
/** NFT_MSG_NEWGEN and NFT_MSG_GETGEN (linux/netfilter/nf_tables.h): the end of a transaction, with its number. */
const message = { newGeneration: 15, getGeneration: 16 } as const;
/** NFTA_*_TABLE of all other messages, and NFTA_GEN_ID. */
const firstAttribute = 1;
/** NFPROTO_* (linux/netfilter.h). */
const families = { ip: 2, inet: 1 } as const;
/** Two restorations are at least this far apart (ms), lest two programs fight at full speed. */
const leastPause = 1000;
/** More unseen transactions than this are not looked at one by one. */
const mostUnseen = 10_000;

export interface WatchedTableOptions {
  /** Name of the table. */
  readonly table: string;
  readonly family?: 'ip' | 'inet' | undefined; // default ip
  /** Path of the network namespace; default this process's. */
  readonly netns?: string | undefined;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
  /** Writes the whole table anew with `run`; called when somebody else changed or removed it. What it throws is logged. */
  readonly restore: () => void;
}

/**
 * An nftables table that is put right when somebody else changes it: `nft flush ruleset`, a
 * firewall that starts. The kernel announces every transaction, with a number; those of `run` are
 * known by theirs.
 */
export class WatchedTable implements Disposable {
  readonly #options: WatchedTableOptions;
  readonly #clock: Clock;
  readonly #nftables: Nftables;
  readonly #socket: NetlinkSocket;
  #events: Disposable;
  /** Numbers of our transactions that were not announced yet. */
  readonly #own = new Set<number>();
  /** The last number announced. */
  #last: number;
  /** Whether the transaction being announced touches the table. */
  #touched = false;
  #restoring: Disposable | undefined;
  #restoredAt = Number.NEGATIVE_INFINITY;

  private constructor(options: WatchedTableOptions, nftables: Nftables, socket: NetlinkSocket) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#nftables = nftables;
    this.#socket = socket;
    this.#events = this.#listen();
    this.#last = this.#generation();
  }

  /** Opens the table for writing and starts to watch it; it need not be there. Throws `unavailable` without libnftables. */
  static open(options: WatchedTableOptions): WatchedTable {
    const { netns } = options;
    const nftables = Nftables.open({ netns });
    let socket: NetlinkSocket | undefined;
    try {
      socket = NetlinkSocket.open({ netns, family: netlinkFamily.netfilter });
      return new WatchedTable(options, nftables, socket);
    } catch (error) {
      socket?.[Symbol.dispose]();
      nftables[Symbol.dispose]();
      throw error;
    }
  }

  /** Runs commands in nft(8)'s language as one transaction of ours (see `Nftables.run`). */
  run(commands: string): void {
    const before = this.#generation();
    this.#nftables.run(commands);
    const after = this.#generation();
    // More than one: others worked at the same time, and nobody can say which is ours.
    if (after === following(before)) this.#own.add(after);
  }

  /** Runs `list …` commands (see `Nftables.list`). */
  list(command: string): Record<string, unknown>[] {
    return this.#nftables.list(command);
  }

  /** Stops to watch; the table stays. */
  [Symbol.dispose](): void {
    this.#restoring?.[Symbol.dispose]();
    this.#restoring = undefined;
    this.#events[Symbol.dispose]();
    this.#socket[Symbol.dispose]();
    this.#nftables[Symbol.dispose]();
  }

  #generation(): number {
    const type = (subsystem << 8) | message.getGeneration;
    return generationOf(this.#socket.get({ what: 'number of the ruleset', type, body: Buffer.alloc(4) }).body);
  }

  #listen(): Disposable {
    const group = { netns: this.#options.netns, family: netlinkFamily.netfilter, group: nftablesGroup };
    return onNetlinkEvents(group, {
      onMessage: (event) => this.#announced(event),
      onOverrun: () => {
        this.#events = this.#listen();
        if (this.#catchUp(this.#generation())) this.#restoreSoon();
      },
    });
  }

  #announced({ type, body }: NetlinkMessage): void {
    if (type >> 8 !== subsystem) return;
    if ((type & 0xff) !== message.newGeneration) {
      const name = decodeAttributes(body.subarray(4)).get(firstAttribute);
      this.#touched ||= body[0] === families[this.#options.family ?? 'ip'] && textOf(name) === this.#options.table;
      return;
    }
    const number = generationOf(body);
    const foreign = !this.#own.delete(number) && this.#touched;
    this.#touched = false;
    // Announced late: it was there before we looked first.
    if (!isAfter(number, this.#last)) return;
    this.#last = number;
    if (foreign) this.#restoreSoon();
  }

  /** Takes all numbers up to one as announced; true when one of them was somebody else's. */
  #catchUp(number: number): boolean {
    let foreign = false;
    for (let at = this.#last, steps = 0; at !== number && !foreign; steps++) {
      at = following(at);
      foreign = !this.#own.has(at) || steps > mostUnseen;
    }
    this.#own.clear();
    this.#last = number;
    this.#touched = false;
    return foreign;
  }

  #restoreSoon(): void {
    const { table, log, restore } = this.#options;
    const pause = Math.max(this.#restoredAt + leastPause - this.#clock.now(), 0);
    this.#restoring ??= this.#clock.after(pause, () => {
      this.#restoring = undefined;
      this.#restoredAt = this.#clock.now();
      log.warn('somebody changed the rules of this machine; writing ours anew', { table });
      try {
        restore();
      } catch (error) {
        log.error('the rules could not be written anew', { table, error: messageOf(error) });
      }
    });
  }
}

function generationOf(body: Buffer): number {
  const number = decodeAttributes(body.subarray(4)).get(firstAttribute);
  return number === undefined || number.length < 4 ? 0 : number.readUInt32BE(0);
}

/** Whether a number comes after another, in a circle of 32 bits. */
function isAfter(number: number, other: number): boolean {
  const distance = (number - other) >>> 0;
  return distance > 0 && distance < 0x8000_0000;
}

/** The kernel counts in 32 bits and leaves zero out. */
function following(number: number): number {
  return (number + 1) >>> 0 || 1;
}
