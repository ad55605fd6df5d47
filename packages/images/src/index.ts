export { checkPlatform } from './check-platform.ts';
export { decompressed } from './content/compression.ts';
export type { LayerSource } from './create-image.ts';
export * from './image-library.ts';
export {
  type CreateImageOptions,
  type ImageStore,
  type ImageStoreOptions,
  type ImportOptions,
  openImageStore,
} from './image-store.ts';
export type { LoadedImage, LoadOptions } from './library/load-archive.ts';
export type { ImageRecord, LayerRecord } from './metadata.ts';
export type { RegistrySettings } from './registry/endpoint.ts';
export { networkReason } from './registry/request.ts';
export * from './rootfs.ts';
export type { TarHeader, TarType } from './tar/tar-entry.ts';
export { readTar, type TarBody, type TarEntry } from './tar/tar-reader.ts';
export { type TarInput, writeTar } from './tar/tar-writer.ts';
