import type { Clock, Logger } from '@wherry/base';
import type { ImageConfig, Platform } from '@wherry/oci';
import type { ImageService } from '@wherry/runtime';
import type { KeptContent } from './content/kept-content.ts';
import type { ImageLibrary } from './image-library.ts';
import type { LayerSource, NewImage } from './library/build-image.ts';
import type { LoadedImage, LoadOptions } from './library/load-archive.ts';
import type { ImageRecord } from './metadata.ts';
import type { RegistrySettings } from './registry/transport/endpoint.ts';
import type { RootfsSource } from './rootfs.ts';

export interface ImageStoreOptions {
  /** Made when it is missing. One process at a time. */
  readonly directory: string;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
  /** What is another one after each start of the machine (default: the kernel's `boot_id`). */
  readonly boot?: string | undefined;
  /** What to choose from multi-platform images (default: this machine's). */
  readonly platform?: Platform | undefined;
  readonly registries?: RegistrySettings | undefined;
  /** Of one unpacked layer (default: 64 GiB, two million files). */
  readonly largestLayer?: { readonly bytes: number; readonly entries: number } | undefined;
}

export interface CreateImageOptions<Layer = LayerSource> extends Omit<NewImage<Layer>, 'platform'> {
  readonly platform?: Platform | undefined;
  /** Names to give it, in any form of reference. */
  readonly references?: readonly string[] | undefined;
  /** Whether a person here gives the names, which docker remembers the time of. */
  readonly isTagged?: boolean | undefined;
}

export interface ImportOptions extends Partial<Pick<CreateImageOptions, 'config' | 'references' | 'platform'>> {
  /** The comment of the image's only history entry. */
  readonly message?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Images on this machine. All references are taken as `imageStatus` takes them. */
export interface ImageStore extends ImageService, RootfsSource, ImageLibrary, AsyncDisposable {
  /**
   * Loads a `docker save` archive or an OCI layout from a stream, or a file or OCI layout folder by path. Of an index, all
   * images stay behind its name.
   */
  load(source: string | AsyncIterable<Uint8Array>, options?: LoadOptions): Promise<readonly LoadedImage[]>;
  /** Makes an image of folders, entries or tar streams. The same input gives the same image. */
  createImage(image: CreateImageOptions): Promise<LoadedImage>;
  /** Makes an image of one layer from a tar of a root file system (`docker import`). */
  importImage(tar: AsyncIterable<Uint8Array>, options?: ImportOptions): Promise<LoadedImage>;
  /** An image's config and manifest. Throws `notFound`. */
  inspect(reference: string): Promise<{ readonly image: ImageRecord; readonly config: ImageConfig }>;
  /** Content that another part of the process, `owner`, keeps beside the images: each of it once on disk. */
  keptContent(owner: string): KeptContent;
  /** Removes content that no image and no hold needs; runs by itself when one of them ends. */
  collectGarbage(): Promise<void>;
}
