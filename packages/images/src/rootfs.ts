import type { ImageConfig } from '@wherry/oci';

/** What a container needs of an image. Implemented by the image store; used by the engine. */
export interface RootfsSource {
  /**
   * The unpacked layers of an image, topmost first as overlayfs wants them in `lowerdir`, with its
   * config. Rejects with `notFound`. `hold` keeps the image's layers from being collected until it is
   * disposed; holders are named by `owner` (a container id) and survive a restart.
   */
  rootfs(reference: string, owner: string): Promise<Rootfs>;
  /**
   * Resolves when the hold of `owner`, those of owners `OWNER.…`, and the images that they hold outlast a power cut;
   * else they outlast this process.
   */
  persistHold(owner: string): Promise<void>;
  /** Ends the hold of `owner`. Idempotent. */
  release(owner: string): Promise<void>;
}

export interface Rootfs {
  readonly imageId: string;
  readonly config: ImageConfig;
  readonly lowerDirectories: readonly string[];
}
