import { mkdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { KeyedMutex, systemClock } from '@wherry/base';
import { hostPlatform } from '@wherry/oci';
import { ContentStore } from './content/content-store.ts';
import { Pins } from './content/pins.ts';
import { DiskSync } from './disk-sync.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { Holds } from './holds.ts';
import { ImageEvents } from './image-events.ts';
import { ImageFinder } from './image-finder.ts';
import { ImageRegistrar } from './image-registrar.ts';
import type { ImageStore, ImageStoreOptions } from './image-store.ts';
import { LayerStore } from './layers/layer-store.ts';
import { LocalImageStore } from './local-image-store.ts';
import { Metadata } from './metadata.ts';
import type { StoreParts } from './store-parts.ts';
import { createLayerThreads } from './threads/layer-threads.ts';
import { UnsettledImages } from './unsettled-images.ts';

/** Opens or creates an image store. Reads nothing until it is needed. */
export async function openImageStore(options: ImageStoreOptions): Promise<ImageStore> {
  const directory = resolve(options.directory);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const boot = options.boot ?? (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const store = new LocalImageStore(makeParts({ ...options, directory, boot }));
  await store.cleanUp();
  return store;
}

const largestLayer = { bytes: 64 * 2 ** 30, entries: 2_000_000 };

function makeParts({
  directory,
  log,
  clock = systemClock,
  platform = hostPlatform(),
  boot,
  ...options
}: ImageStoreOptions & { readonly boot: string }): StoreParts {
  const limits = options.largestLayer ?? largestLayer;
  const threads = createLayerThreads();
  const disk = new DiskSync(directory);
  const content = new ContentStore(directory, disk, threads);
  const layers = new LayerStore(directory, limits, threads, disk);
  const metadata = new Metadata(directory);
  const holds = new Holds(directory);
  const pins = new Pins();
  const garbage = new GarbageCollector({ content, layers, metadata, holds, pins, log });
  return {
    directory,
    log,
    clock,
    platform,
    limits,
    threads,
    content,
    layers,
    metadata,
    holds,
    pins,
    registrar: new ImageRegistrar({ content, layers, metadata, pins, clock, disk, garbage }),
    garbage,
    events: new ImageEvents(log),
    finder: new ImageFinder(metadata, content),
    disk,
    unsettled: new UnsettledImages(directory, boot, disk, log),
    registries: options.registries ?? {},
    downloads: new KeyedMutex(),
  };
}
