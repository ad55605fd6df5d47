import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { messageOf, WherryError } from '@wherry/base';
import type { Digest, Platform } from '@wherry/oci';
import { ArchiveFiles } from '../archive/archive-files.ts';
import { readArchive } from '../archive/read-archive.ts';
import type { ContentStore } from '../content/content-store.ts';
import { familiarName } from '../image-names.ts';
import type { LayerRecord } from '../metadata.ts';
import type { StoreParts } from '../store-parts.ts';

export interface LoadOptions {
  /** What to take from archives of several platforms (default: this machine's). */
  readonly platform?: Platform | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Of each layer that is unpacked, `size` being its bytes in the archive. */
  readonly onLayer?: ((layer: LayerRecord, phase: 'extracting' | 'complete') => void) | undefined;
}

export interface LoadedImage {
  readonly id: string;
  /** Full references. */
  readonly names: readonly string[];
  /** Names (familiar) that another image had until now, with its ID: docker tells of them. */
  readonly replaced?: readonly { readonly name: string; readonly id: string }[] | undefined;
}

/** Loads every image of an archive; see `ImageStore.load`. */
export async function loadArchive(
  parts: StoreParts,
  source: string | AsyncIterable<Uint8Array>,
  options: LoadOptions,
): Promise<LoadedImage[]> {
  const { platform, registrar, content, metadata, events } = parts;
  await using files = await openArchive(content, source, parts.limits.bytes);
  if (!files.find('manifest.json') && !files.find('index.json')) {
    // dockerd looks for what archives had before 2016 when there is nothing else, and says where it looked.
    throw new WherryError('corrupt', `open ${files.pathOf('repositories')}: no such file or directory`);
  }
  const loaded: LoadedImage[] = [];
  for (const image of await readArchive(files, options.platform ?? platform)) {
    const before = await metadata.state();
    const had = image.names.map((name) => [name, idOf(before, name)] as const);
    let layers = 0;
    const onLayer: LoadOptions['onLayer'] = (layer, phase) => {
      if (phase === 'extracting') layers++;
      options.onLayer?.(layer, phase);
    };
    const registering = registrar.registerWritten(image.manifest, image.blobs, image.names, { ...options, onLayer });
    const { id } = await registering.catch((error: unknown) => {
      throw inWordsOfLoading(error, layers - 1);
    });
    const replaced = had.flatMap(([name, old]) => (old && old !== id ? [{ name: familiarName(name), id: old }] : []));
    events.emit({ action: 'load', id, name: id });
    loaded.push({ id, names: image.names, ...(replaced.length > 0 && { replaced }) });
  }
  return loaded;
}

/** dockerd says which layer of an archive is not what its config says. */
function inWordsOfLoading(error: unknown, layer: number): unknown {
  const [, found, expected] =
    /^wrong diff id calculated on extraction: (\S+), expected (\S+)$/.exec(messageOf(error)) ?? [];
  if (expected === undefined) return error;
  const words = `invalid diffID for layer ${layer}: expected "${expected}", got "${found}"`;
  return new WherryError('corrupt', words, { cause: error });
}

function idOf(state: Awaited<ReturnType<StoreParts['metadata']['state']>>, name: string): Digest | undefined {
  const record = state.names.get(name);
  return record && state.images.get(record.manifest)?.id;
}

async function openArchive(
  content: ContentStore,
  source: string | AsyncIterable<Uint8Array>,
  largest: number,
): Promise<ArchiveFiles> {
  if (typeof source !== 'string') return await ArchiveFiles.fromTar(content, source, largest);
  const isFolder = (await stat(source)).isDirectory();
  return isFolder
    ? await ArchiveFiles.fromFolder(content, source)
    : await ArchiveFiles.fromTar(content, createReadStream(source, { highWaterMark: 256 * 1024 }), largest);
}
