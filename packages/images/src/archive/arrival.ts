import { mkdir } from 'node:fs/promises';
import { DisposalStack, removeTree, type TaskOptions, WherryError } from '@wherry/base';
import { endReceivingOn } from '@wherry/linux';
import { hexOf } from '@wherry/oci';
import { isConnectionBody } from '../content/connection-body.ts';
import type { WrittenBlob } from '../content/written-blob.ts';
import type { EarlyUnpack } from '../layers/early-unpack.ts';
import type { StoreParts } from '../store-parts.ts';
import {
  type ArrivalProgress,
  type ArrivalRequest,
  type ArrivedMember,
  type KnownBlobs,
  mostAround,
  type StoredBlob,
} from '../threads/arrival-task.ts';
import { ReceivedFile, SmallFile } from './received-file.ts';

/** Layers that are unpacked before it is known what they belong to. */
const mostEarly = 128;

export interface ArrivalOptions {
  readonly kind: ArrivalRequest['kind'];
  /** Of files together (bytes). */
  readonly largest: number;
  /** Whether layers are unpacked while they come: most of what comes will be needed. */
  readonly unpacks: boolean;
  readonly signal?: AbortSignal | undefined;
}

type Parts = Pick<StoreParts, 'content' | 'layers' | 'threads' | 'metadata' | 'disk'>;

/**
 * An archive or a layer that a thread receives: it writes and hashes its files while they come, and other threads unpack
 * layers meanwhile. What is not committed or taken over by the time that it is disposed is removed.
 */
export class Arrival implements AsyncDisposable {
  readonly #parts: Parts;
  readonly #options: ArrivalOptions;
  readonly #stop = new AbortController();
  readonly #disposal = new DisposalStack();
  /** By the number of the file. */
  readonly #early = new Map<number, Promise<EarlyUnpack | undefined>>();
  readonly #begun = new Map<number, Extract<ArrivalProgress, { begun: number }>>();
  #members: readonly ArrivedMember[] = [];
  readonly #files = new Map<ArrivedMember, WrittenBlob>();

  private constructor(parts: Parts, options: ArrivalOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** From a stream, or a file by its path. Throws what is wrong with it: `corrupt`, `tooLarge`, `exhausted`. */
  static async receive(
    parts: Parts,
    source: string | AsyncIterable<Uint8Array>,
    options: ArrivalOptions,
  ): Promise<Arrival> {
    const arrival = new Arrival(parts, options);
    try {
      await arrival.#receive(source);
      return arrival;
    } catch (error) {
      await arrival[Symbol.asyncDispose]();
      throw error;
    }
  }

  get members(): readonly ArrivedMember[] {
    return this.#members;
  }

  /** A member that is a file. */
  file(member: ArrivedMember): WrittenBlob {
    return this.#files.get(member)!;
  }

  async #receive(source: string | AsyncIterable<Uint8Array>): Promise<void> {
    const { content, metadata } = this.#parts;
    const { signal, kind, largest } = this.#options;
    const abort = (): void => this.#stop.abort(signal?.reason);
    signal?.addEventListener('abort', abort);
    this.#disposal.defer(() => signal?.removeEventListener('abort', abort), 'a listener');
    if (signal?.aborted) abort();
    const folder = await content.temporary();
    await mkdir(folder, { mode: 0o700 });
    this.#disposal.defer(() => removeTree(folder), 'the files of an archive');
    const known = knownBlobs(content, await metadata.state());
    const request: ArrivalRequest = { kind, from: undefined, folder, largest, known };
    this.#members = await this.#run(request, source);
    for (const member of this.#members) {
      if (member.content) this.#files.set(member, new SmallFile(member.content, content));
      else if (member.file) {
        const early = await this.#early.get(member.file.number);
        const facts = { size: member.size, early };
        this.#files.set(member, new ReceivedFile(member.file, facts, this.#parts, this.#stop.signal));
      }
    }
  }

  /** Where as many threads as may wait for slow clients do so already, the stream becomes a file first. */
  async #run(request: ArrivalRequest, source: string | AsyncIterable<Uint8Array>): Promise<readonly ArrivedMember[]> {
    const { content, threads } = this.#parts;
    const options = {
      signal: this.#stop.signal,
      onProgress: (progress: ArrivalProgress) => this.#hear(progress),
    };
    if (typeof source === 'string') return await threads.run('arrive', { ...request, from: source }, options);
    const received = this.#runBeside(request, source, options);
    if (received) return await received;
    await using whole = await content.ingest();
    await whole.fill(source, request.largest + mostAround);
    return await threads.run('arrive', { ...request, from: whole.path }, options);
  }

  /** A thread reads a connection itself. `undefined` where none is free. */
  #runBeside(
    request: ArrivalRequest,
    source: AsyncIterable<Uint8Array>,
    options: TaskOptions<ArrivalProgress> & { readonly signal: AbortSignal },
  ): Promise<readonly ArrivedMember[]> | undefined {
    const { threads } = this.#parts;
    const taken = isConnectionBody(source) ? source.takeOver() : undefined;
    if (taken === undefined) return threads.runWaiting('arrive', request, { ...options, input: source });
    const { descriptor, read, framing } = taken;
    const received = threads.runWaiting('arrive', { ...request, from: { descriptor, read, framing } }, options);
    if (received === undefined) {
      taken.giveBack();
      return undefined;
    }
    const ending = endReceivingOn(options.signal, descriptor);
    return received.finally(() => {
      ending[Symbol.dispose]();
      taken[Symbol.dispose]();
    });
  }

  #hear(progress: ArrivalProgress): void {
    if (!this.#options.unpacks) return;
    if ('whole' in progress) {
      const begun = this.#begun.get(progress.whole);
      // Where no thread was free that could follow it, it waits for one that works.
      if (begun) this.#early.set(begun.begun, this.#whenWhole(begun));
    } else if (this.#begun.size < mostEarly) {
      this.#begun.set(progress.begun, progress);
      this.#early.set(progress.begun, this.#unpack(progress, 'follow'));
    }
  }

  async #whenWhole(begun: Extract<ArrivalProgress, { begun: number }>): Promise<EarlyUnpack | undefined> {
    return (await this.#early.get(begun.begun)) ?? (await this.#unpack(begun, 'wait'));
  }

  async #unpack(
    { growing, isPlain }: Extract<ArrivalProgress, { begun: number }>,
    how: 'follow' | 'wait',
  ): Promise<EarlyUnpack | undefined> {
    const { signal } = this.#stop;
    const isBottom = this.#options.kind === 'layer';
    const blob = { growing, isHashed: isPlain };
    try {
      const early = await this.#parts.layers.unpackUnknown(blob, { isBottom, isWhole: how === 'wait', signal });
      if (early) this.#disposal.use(early, 'a layer that is unpacked early');
      return early;
    } catch {
      // Whatever goes wrong is seen again when the whole blob is unpacked, or of no interest.
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new WherryError('cancelled', 'the archive is not needed any more'));
    await Promise.allSettled(this.#early.values());
    await this.#disposal[Symbol.asyncDispose]();
  }
}

function knownBlobs(content: Parts['content'], state: Awaited<ReturnType<Parts['metadata']['state']>>): KnownBlobs {
  const stored = new Map<number, StoredBlob[]>();
  const names = new Set<string>();
  const seen = new Set<string>();
  for (const { layers } of state.images.values()) {
    for (const { digest, diffId, size } of layers) {
      names.add(hexOf(digest)).add(hexOf(diffId));
      if (seen.has(digest)) continue;
      seen.add(digest);
      stored.set(size, [...(stored.get(size) ?? []), { digest, path: content.path(digest) }]);
    }
  }
  return { stored, names };
}
