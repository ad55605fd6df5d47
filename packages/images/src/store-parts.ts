import type { Clock, KeyedMutex, Logger } from '@wherry/base';
import type { Platform } from '@wherry/oci';
import type { ContentStore } from './content/content-store.ts';
import type { Pins } from './content/pins.ts';
import type { DiskSync } from './disk-sync.ts';
import type { GarbageCollector } from './garbage-collector.ts';
import type { Holds } from './holds.ts';
import type { ImageEvents } from './image-events.ts';
import type { ImageFinder } from './image-finder.ts';
import type { ImageRegistrar } from './image-registrar.ts';
import type { LayerStore } from './layers/layer-store.ts';
import type { UnpackLimits } from './layers/unpack.ts';
import type { Metadata } from './metadata.ts';
import type { RegistrySettings } from './registry/transport/endpoint.ts';
import type { LayerThreads } from './threads/layer-threads.ts';
import type { UnsettledImages } from './unsettled-images.ts';

/** What the operations of one image store share. */
export interface StoreParts {
  readonly directory: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** What to choose from multi-platform images. */
  readonly platform: Platform;
  readonly limits: UnpackLimits;
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly threads: LayerThreads;
  readonly metadata: Metadata;
  readonly holds: Holds;
  readonly pins: Pins;
  readonly registrar: ImageRegistrar;
  readonly garbage: GarbageCollector;
  readonly events: ImageEvents;
  readonly finder: ImageFinder;
  readonly disk: DiskSync;
  readonly unsettled: UnsettledImages;
  readonly registries: RegistrySettings;
  /** One download of a blob at a time. */
  readonly downloads: KeyedMutex;
}
