import { decodeGo, goStringMap, parseGoJson, WherryError } from '@wherry/base';
import {
  type Descriptor,
  type Digest,
  digestOf,
  formatReference,
  type ImageConfig,
  type Manifest,
  mediaTypes,
  parseReference,
} from '@wherry/oci';
import { mostLayers, parseRawConfig } from '../content/image-config.ts';
import { largestDocument } from '../content/json.ts';
import type { WrittenBlob } from '../content/written-blob.ts';
import type { ArchiveFiles } from './archive-files.ts';
import type { ArchiveContext, ArchivedImage } from './archived-image.ts';
import { checkSystem, layerType } from './docker-archive.ts';

/** What the old format has for each image: a folder by its random id. */
interface OldImage {
  readonly id: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly parent: string | undefined;
}

/** An image made of an old one. */
interface Converted {
  readonly id: Digest;
  readonly config: ImageConfig;
  readonly layers: readonly Descriptor[];
  readonly blobs: ReadonlyMap<Digest, WrittenBlob>;
}

const repositoriesType = { kind: 'map', type: 'map[string]map[string]string', of: goStringMap } as const;

/**
 * The images of an archive as docker before 1.10 wrote it: `ID/json` and `ID/layer.tar` for each layer, and
 * `repositories`. They become images as they are today, parents first. Throws `corrupt` in dockerd's words.
 */
export async function* readLegacyArchive(
  files: ArchiveFiles,
  context: ArchiveContext,
): AsyncGenerator<ArchivedImage, void, undefined> {
  const images = new Map<string, OldImage>();
  for (const id of files.topFolders()) await readWithParents(files, id, images);
  const names = await namesOf(files, images);
  const converted = new Map<string, Converted>();
  for (const image of images.values()) {
    const parent = image.parent === undefined ? undefined : converted.get(image.parent)!;
    const one = await convert(files, image, parent, context);
    converted.set(image.id, one);
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: { mediaType: mediaTypes.dockerConfig, digest: one.id, size: one.blobs.get(one.id)!.size },
      layers: one.layers,
    };
    yield {
      manifest: Buffer.from(JSON.stringify(manifest)),
      blobs: one.blobs,
      names: names.get(image.id) ?? [],
      parent: parent?.id,
    };
  }
}

/** Enters an image behind its parents. */
async function readWithParents(files: ArchiveFiles, first: string, images: Map<string, OldImage>): Promise<void> {
  const chain = new Map<string, OldImage>();
  for (let id: string | undefined = first; id !== undefined && !images.has(id); ) {
    if (chain.has(id)) throw new WherryError('corrupt', `the archive has the image ${id} as its own parent`);
    if (chain.size >= mostLayers) throw new WherryError('corrupt', `the archive has more than ${mostLayers} layers`);
    const raw = parseRawConfig(await files.require(`${id}/json`).read(largestDocument));
    checkSystem(raw.os);
    const parent: string | undefined = raw.parent === '' || raw.parent === null ? undefined : (raw.parent as string);
    chain.set(id, { id, config: raw, parent });
    id = parent;
  }
  for (const image of [...chain.values()].reverse()) images.set(image.id, image);
}

async function namesOf(files: ArchiveFiles, images: ReadonlyMap<string, OldImage>): Promise<Map<string, string[]>> {
  const list = await files.require('repositories').read(largestDocument);
  const repositories = decodeGo(parseGoJson(list.toString(), 'stream'), repositoriesType) ?? {};
  const names = new Map<string, string[]>();
  for (const [repository, tags] of Object.entries(repositories as Record<string, Record<string, string> | null>)) {
    for (const [tag, id] of Object.entries(tags ?? {})) {
      if (!images.has(id)) throw new WherryError('corrupt', `invalid target ID: ${id}`);
      const { host, path } = parseReference(repository);
      const name = formatReference(parseReference(`${host}/${path}:${tag}`));
      names.set(id, [...(names.get(id) ?? []), name]);
    }
  }
  return names;
}

async function convert(
  files: ArchiveFiles,
  { id, config }: OldImage,
  parent: Converted | undefined,
  context: ArchiveContext,
): Promise<Converted> {
  const plain = await files.plain(files.require(`${id}/layer.tar`), context.largestLayer);
  const layer = { mediaType: layerType(await plain.start()), digest: await plain.digest(), size: plain.size };
  const whole = {
    ...modern(config),
    rootfs: { type: 'layers', diff_ids: [...(parent?.config.rootfs.diff_ids ?? []), layer.digest] },
    history: [...(parent?.config.history ?? []), stepOf(config)],
  };
  const text = Buffer.from(
    JSON.stringify(Object.fromEntries(Object.entries(whole).sort(([a], [b]) => (a < b ? -1 : 1)))),
  );
  const ingest = await files.hold(text);
  return {
    id: digestOf(text),
    config: whole as unknown as ImageConfig,
    layers: [...(parent?.layers ?? []), layer],
    blobs: new Map([...(parent?.blobs ?? []), [layer.digest, plain], [digestOf(text), ingest]]),
  };
}

/** Without what named and measured an old image. */
function modern(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { id, parent, Size, parent_id, layer_id, throwaway, ...rest } = config;
  return { architecture: 'amd64', os: 'linux', ...rest };
}

function stepOf(config: Readonly<Record<string, unknown>>): NonNullable<ImageConfig['history']>[number] {
  const { Cmd } = (config.container_config ?? {}) as { Cmd?: readonly string[] | null };
  const text = (name: string): object =>
    typeof config[name] === 'string' && config[name] !== '' ? { [name]: config[name] } : {};
  const by = Cmd?.join(' ') ?? '';
  return { ...text('created'), ...text('author'), ...(by === '' ? {} : { created_by: by }), ...text('comment') };
}
