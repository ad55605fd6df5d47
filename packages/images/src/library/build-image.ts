import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { WherryError } from '@wherry/base';
import { type Descriptor, type Digest, type ImageConfig, type Manifest, mediaTypes } from '@wherry/oci';
import { decompressed } from '../content/compression.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { WrittenBlob } from '../content/written-blob.ts';
import { type TarInput, writeTar } from '../tar/tar-writer.ts';

/** Where a layer's files come from. */
export type LayerSource =
  /** The tree below a folder, owned by root, with the image's creation time: the same tree gives the same layer. */
  | { readonly folder: string }
  | { readonly entries: Iterable<TarInput> | AsyncIterable<TarInput> }
  /** A tar stream as it is, compressed or not. */
  | { readonly tar: AsyncIterable<Uint8Array> };

/** A layer that is written already, plain. */
export interface WrittenLayer {
  readonly written: WrittenBlob;
}

export interface NewImage<Layer = LayerSource> {
  /** As in an OCI image; `rootfs` is filled in. */
  readonly config: Partial<Omit<ImageConfig, 'rootfs'>>;
  readonly layers: readonly Layer[];
  /** How layers are stored (default: plain, since nothing is sent anywhere). */
  readonly compression?: 'none' | 'gzip' | undefined;
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string };
}

/** A built image whose blobs are written but not committed. */
export interface BuiltImage {
  readonly manifest: Buffer;
  readonly blobs: ReadonlyMap<Digest, WrittenBlob>;
}

/** Writes an image's layers, config and manifest. The caller commits or disposes the blobs. */
export async function buildImage(
  content: ContentStore,
  image: NewImage<LayerSource | WrittenLayer>,
  largestLayer: number,
): Promise<BuiltImage> {
  const blobs = new Map<Digest, WrittenBlob>();
  try {
    const time = Date.parse(image.config.created ?? '') || 0;
    const diffIds: Digest[] = [];
    const layers: Descriptor[] = [];
    for (const source of image.layers) {
      const { ingest, diffId } = await writeLayer(
        content,
        source,
        image.compression ?? 'none',
        time / 1000,
        largestLayer,
      );
      diffIds.push(diffId);
      const mediaType = image.compression === 'gzip' ? mediaTypes.ociLayerGzip : mediaTypes.ociLayer;
      layers.push(await keep(blobs, ingest, mediaType));
    }
    const config: ImageConfig = { ...image.config, ...image.platform, rootfs: { type: 'layers', diff_ids: diffIds } };
    const configIngest = await content.ingest();
    await configIngest.write(Buffer.from(JSON.stringify(config)));
    await configIngest.rest();
    const configDescriptor = await keep(blobs, configIngest, mediaTypes.ociConfig);
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: configDescriptor,
      layers,
    };
    return { manifest: Buffer.from(JSON.stringify(manifest)), blobs };
  } catch (error) {
    for (const ingest of blobs.values()) await ingest[Symbol.asyncDispose]();
    throw error;
  }
}

async function keep(blobs: Map<Digest, WrittenBlob>, ingest: WrittenBlob, mediaType: string): Promise<Descriptor> {
  const digest = await ingest.digest();
  // Equal layers are one blob.
  if (blobs.has(digest)) await ingest[Symbol.asyncDispose]();
  else blobs.set(digest, ingest);
  return { mediaType, digest, size: ingest.size };
}

async function writeLayer(
  content: ContentStore,
  source: LayerSource | WrittenLayer,
  compression: 'none' | 'gzip',
  time: number,
  largest: number,
): Promise<{ ingest: WrittenBlob; diffId: Digest }> {
  if ('written' in source) return { ingest: source.written, diffId: await source.written.digest() };
  const ingest = await content.ingest();
  try {
    if (compression === 'none') {
      // A small archive may unpack to any size.
      await ingest.fill(tarOf(source, time), largest);
      // Hashed meanwhile.
      await ingest.seal();
      return { ingest, diffId: await ingest.digest() };
    }
    const hash = createHash('sha256');
    const plain = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of tarOf(source, time)) {
        hash.update(chunk);
        yield chunk;
      }
    };
    await ingest.fill(gzipped(plain()), largest);
    return { ingest, diffId: `sha256:${hash.digest('hex')}` };
  } catch (error) {
    await ingest[Symbol.asyncDispose]();
    throw error;
  }
}

function tarOf(source: LayerSource, time: number): AsyncIterable<Uint8Array> {
  if ('tar' in source) return decompressed(source.tar);
  return writeTar('entries' in source ? source.entries : folderEntries(source.folder, time));
}

async function* gzipped(plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = Readable.from(plain, { objectMode: false });
  const gzip = createGzip();
  input.on('error', (error) => gzip.destroy(error));
  yield* input.pipe(gzip) as AsyncIterable<Buffer>;
}

async function* folderEntries(folder: string, time: number, prefix = ''): AsyncGenerator<TarInput> {
  const names = await readdir(join(folder, prefix));
  for (const name of names.sort()) {
    const path = prefix + name;
    const full = join(folder, path);
    const status = await lstat(full);
    const facts = { name: path, mode: status.mode & 0o7777, mtime: time };
    if (status.isDirectory()) {
      yield { ...facts, type: 'directory' };
      yield* folderEntries(folder, time, `${path}/`);
    } else if (status.isSymbolicLink()) {
      yield { ...facts, type: 'symlink', linkName: await readlink(full) };
    } else if (status.isFile()) {
      yield { ...facts, type: 'file', content: { size: status.size, body: createReadStream(full) } };
    } else {
      throw new WherryError('unsupported', `${full} is neither a file, a folder nor a link`);
    }
  }
}
