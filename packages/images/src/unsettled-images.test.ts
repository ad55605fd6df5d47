import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Deferred, deferred, silentLogger } from '@wherry/base';
import { digestOf } from '@wherry/oci';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { UnsettledImages } from './unsettled-images.ts';

const root = mkdtempSync(join(tmpdir(), 'wherry-unsettled-'));
afterAll(() => rmSync(root, { recursive: true }));
const [one, two] = ['one', 'two'].map((text) => digestOf(Buffer.from(text))) as [
  `sha256:${string}`,
  `sha256:${string}`,
];

/** A disk whose syncs end when the test says so. */
class SlowDisk {
  readonly begun: Deferred<void>[] = [];
  #next = deferred<Deferred<void>>();

  note(): void {}

  run(): Promise<void> {
    const sync = deferred<void>();
    this.begun.push(sync);
    this.#next.resolve(sync);
    this.#next = deferred();
    return sync.promise;
  }

  /** The sync that begins next. */
  get next(): Promise<Deferred<void>> {
    return this.#next.promise;
  }
}

let disk: SlowDisk;
let images: UnsettledImages;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(root, 'store-'));
  disk = new SlowDisk();
  images = new UnsettledImages(directory, 'boot', disk, silentLogger);
});
const named = (): unknown => JSON.parse(readFileSync(join(directory, 'unsettled.json'), 'utf8')).manifests;

it('names an image until the disk was synced after it was whole', async () => {
  const arrival = await images.begin(one);
  expect(named()).toEqual([one]);
  expect(disk.begun).toEqual([]);
  // Nobody waits for what is still under way.
  await images.settled();
  const begun = disk.next;
  arrival[Symbol.dispose]();
  const sync = await begun;
  const second = await images.begin(two);
  expect(named()).toEqual([one, two]);
  const settled = images.settled();
  sync.resolve();
  await settled;
  expect(named()).toEqual([two]);
  // Whole only after that sync began: it takes another one.
  const another = disk.next;
  second[Symbol.dispose]();
  (await another).resolve();
  await images.settled();
  expect(named()).toEqual([]);
  expect(disk.begun).toHaveLength(2);
});

it('lets nobody wait for another image', async () => {
  const begun = disk.next;
  (await images.begin(one))[Symbol.dispose]();
  const sync = await begun;
  await images.settled([two]);
  await images.settled([]);
  expect(named()).toEqual([one]);
  const settled = images.settled([two, one]);
  sync.resolve();
  await settled;
  expect(named()).toEqual([]);
});

it('goes on naming an image where the disk fails, tells who waits, and tries again', async () => {
  const begun = disk.next;
  (await images.begin(one))[Symbol.dispose]();
  const sync = await begun;
  const settled = images.settled();
  sync.reject(new Error('EIO'));
  await expect(settled).rejects.toThrow('EIO');
  expect(named()).toEqual([one]);
  const again = disk.next;
  const settledThen = images.settled();
  (await again).resolve();
  await settledThen;
  expect(named()).toEqual([]);
});

it('gives what another boot left, and takes over what the same one left', async () => {
  await images.begin(one);
  const next = new UnsettledImages(directory, 'another', disk, silentLogger);
  expect(await next.left()).toEqual([one]);
  const begun = disk.next;
  const same = new UnsettledImages(directory, 'boot', disk, silentLogger);
  expect(await same.left()).toBeUndefined();
  (await begun).resolve();
  await same.settled();
  expect(await next.left()).toBeUndefined();
});
