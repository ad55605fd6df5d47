import { availableParallelism } from 'node:os';
import { codeOf, Semaphore, sleep, WherryError } from '@wherry/base';
import { type Descriptor, type Digest, parseDigest } from '@wherry/oci';
import type { PullProgress } from '@wherry/runtime';
import type { Ingest } from '../../content/ingest.ts';
import { parentsOf } from '../../image-registrar.ts';
import type { EarlyUnpack } from '../../layers/early-unpack.ts';
import type { LayerRecord } from '../../metadata.ts';
import { leastForThread, type RegistryClient } from '../registry-client.ts';
import { unpackRefusal } from './docker-refusals.ts';
import { fetchBlob } from './fetch-blob.ts';
import type { PullContext } from './pull-context.ts';

/** Layers of one image downloaded at a time, as dockerd and containerd do. */
const parallelLayers = 3;
/** Milliseconds of a download before which it and an unpacking beside it would only take the processors from others. */
const quickDownload = 500;

/** Has threads start for layers that will come, which takes longer than to ask for a config. */
export async function prepareForLayers(layers: readonly Descriptor[], { parts }: PullContext): Promise<void> {
  const sizes = await Promise.all(layers.map(({ digest }) => parts.content.size(parseDigest(digest))));
  const missing = layers.filter((_, index) => sizes[index] === undefined);
  if (missing.length === 0) return;
  const large = missing.filter(({ size }) => size >= leastForThread).length;
  parts.threads.prepare(Math.max(1, Math.min(large, parallelLayers)));
}

/**
 * Downloads the layers of an image side by side and unpacks each, large ones that take their time already while they come.
 * A descriptor without a record is of a layer that is here in another form.
 */
export async function pullLayers(
  client: RegistryClient,
  descriptors: readonly Descriptor[],
  records: readonly LayerRecord[],
  context: PullContext,
): Promise<void> {
  await new LayersPull(client, descriptors, records, context).run();
}

class LayersPull {
  readonly #client: RegistryClient;
  readonly #descriptors: ReadonlyMap<Digest, Descriptor>;
  readonly #records: readonly LayerRecord[];
  readonly #context: PullContext;
  readonly #report: (progress: PullProgress) => void;
  readonly #downloads = new Map<Digest, Promise<void>>();
  readonly #early = new Map<LayerRecord, EarlyUnpack>();
  /** Milliseconds of a download before what it brings is unpacked. */
  #delay = quickDownload;

  constructor(
    client: RegistryClient,
    descriptors: readonly Descriptor[],
    records: readonly LayerRecord[],
    context: PullContext,
  ) {
    this.#client = client;
    this.#descriptors = new Map(descriptors.map((layer) => [parseDigest(layer.digest), layer]));
    this.#records = records;
    this.#context = context;
    this.#report = context.onProgress ?? (() => undefined);
  }

  async run(): Promise<void> {
    await this.#beginDownloads();
    const unpacked: Promise<void>[] = [];
    for (const record of this.#records) {
      const done = this.#unpack(record, unpacked.at(-1) ?? Promise.resolve());
      done.catch(() => undefined);
      unpacked.push(done);
    }
    // All of them end before the caller lets go of what they write.
    const results = await Promise.allSettled([...this.#downloads.values(), ...unpacked]);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async #beginDownloads(): Promise<void> {
    const slots = new Semaphore(parallelLayers);
    const missing: Digest[] = [];
    for (const [digest, { size }] of this.#descriptors) {
      const isKept = !this.#records.some((record) => record.digest === digest);
      const isHere = isKept || (await this.#context.parts.content.size(digest)) === size;
      this.#report({ digest, phase: isHere ? 'exists' : 'announced' });
      if (!isHere) missing.push(digest);
    }
    const large = missing.filter((digest) => this.#descriptors.get(digest)!.size >= leastForThread);
    // A processor for each download and one for each unpacking.
    if (2 * Math.min(large.length, parallelLayers) <= availableParallelism()) this.#delay = 0;
    for (const digest of missing) {
      let isBegun = false;
      const download = slots.run(() => {
        isBegun = true;
        return this.#download(digest);
      });
      if (!isBegun) this.#report({ digest, phase: 'waiting' });
      download.catch(() => undefined);
      this.#downloads.set(digest, download);
    }
  }

  async #download(digest: Digest): Promise<void> {
    const ended = new AbortController();
    let early: Promise<void> | undefined;
    const onBegun = (ingest: Ingest): void => {
      early = this.#unpackEarly(digest, ingest, ended.signal);
    };
    try {
      await fetchBlob(this.#client, this.#descriptors.get(digest)!, this.#context, { report: this.#report, onBegun });
    } catch (error) {
      if (this.#context.dialect !== 'docker' || codeOf(error) !== 'corrupt') throw error;
      throw new WherryError('corrupt', `filesystem layer verification failed for digest ${digest}`, { cause: error });
    } finally {
      ended.abort();
      await early;
    }
  }

  /** Begins to unpack what has been coming for a while, unless it has `ended` by then. */
  async #unpackEarly(digest: Digest, ingest: Ingest, ended: AbortSignal): Promise<void> {
    const record = this.#records.find((layer) => layer.digest === digest)!;
    if (record.size < leastForThread) return;
    const { parts, signal } = this.#context;
    if (this.#delay > 0) await sleep(parts.clock, this.#delay, { signal: ended }).catch(() => undefined);
    if (ended.aborted) return;
    const file = ingest.grow(digest);
    const early = await parts.layers.unpackEarly(record, file.handle, parentsOf(this.#records, record), { signal });
    if (early) this.#early.set(record, early);
  }

  async #unpack(record: LayerRecord, below: Promise<void>): Promise<void> {
    const { digest, chainId, size } = record;
    const { parts, signal, dialect } = this.#context;
    try {
      await this.#downloads.get(digest);
      const isThere = await parts.layers.has(chainId);
      if (!isThere) this.#report({ digest, phase: 'extracting', current: 0, total: size });
      try {
        await parts.registrar.unpack(this.#records, record, { below, signal, early: this.#early.get(record) });
      } catch (error) {
        throw dialect === 'docker' ? unpackRefusal(error) : error;
      }
      // Told in their order, as docker's users know it.
      await below;
      if (!isThere || this.#downloads.has(digest)) this.#report({ digest, phase: 'complete' });
    } finally {
      await this.#early.get(record)?.[Symbol.asyncDispose]();
    }
  }
}
