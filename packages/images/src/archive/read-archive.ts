import { WherryError } from '@wherry/base';
import {
  type Descriptor,
  type Digest,
  digestOf,
  formatReference,
  hexOf,
  hostPlatform,
  isDigest,
  type Manifest,
  mediaTypes,
  type Platform,
  parseDigest,
  parseReference,
  selectPlatform,
  tryParseReference,
} from '@wherry/oci';
import { detectCompression } from '../content/compression.ts';
import type { Ingest } from '../content/content-store.ts';
import { largestDocument, parseIndex, parseManifest, parseObject } from '../content/json.ts';
import type { ArchiveFiles } from './archive-files.ts';

/** An image found in an archive: its manifest, and where each blob is. */
export interface ArchivedImage {
  readonly manifest: Buffer;
  readonly blobs: ReadonlyMap<Digest, Ingest>;
  readonly names: readonly string[];
}

const dockerLayer = 'application/vnd.docker.image.rootfs.diff.tar';

/** The images of a `docker save` archive or an OCI layout (image-layout.md). Throws `corrupt`. */
export async function readArchive(files: ArchiveFiles, platform: Platform = hostPlatform()): Promise<ArchivedImage[]> {
  const docker = files.find('manifest.json');
  if (docker) return await readDockerArchive(files, docker);
  const index = files.find('index.json');
  if (index) return await readLayout(files, index, platform);
  throw new WherryError('corrupt', 'the archive is no image: it has neither manifest.json nor index.json');
}

async function readDockerArchive(files: ArchiveFiles, list: Ingest): Promise<ArchivedImage[]> {
  const images: ArchivedImage[] = [];
  for (const entry of parseDockerList(await list.read(largestDocument))) {
    const blobs = new Map<Digest, Ingest>();
    const descriptor = (path: string, mediaType: string): Descriptor => {
      const file = files.find(path);
      if (!file) throw new WherryError('corrupt', `open ${files.pathOf(path)}: no such file or directory`);
      blobs.set(file.digest(), file);
      return { mediaType, digest: file.digest(), size: file.size };
    };
    const names = entry.RepoTags.map(nameToGive);
    const config = descriptor(entry.Config, mediaTypes.dockerConfig);
    await checkConfig(files.find(entry.Config)!, entry.Layers.length);
    const layers: Descriptor[] = [];
    for (const path of entry.Layers) {
      const start = await files.find(path)?.start();
      layers.push(
        descriptor(path, start && detectCompression(start) === 'gzip' ? mediaTypes.dockerLayerGzip : dockerLayer),
      );
    }
    const manifest: Manifest = { schemaVersion: 2, mediaType: mediaTypes.dockerManifest, config, layers };
    images.push({ manifest: Buffer.from(JSON.stringify(manifest)), blobs, names });
  }
  return images;
}

/** Before anything is unpacked, as dockerd does and in its words. */
async function checkConfig(config: Ingest, layers: number): Promise<void> {
  const { rootfs } = parseObject(await config.read(largestDocument), 'image config');
  if (typeof rootfs !== 'object' || rootfs === null)
    throw new WherryError('corrupt', 'invalid image JSON, no RootFS key');
  const { diff_ids: ids } = rootfs as { diff_ids?: unknown };
  const expected = Array.isArray(ids) ? ids.length : 0;
  if (expected === layers) return;
  throw new WherryError('corrupt', `invalid manifest, layers length mismatch: expected ${layers}, got ${expected}`);
}

/** The full reference of a name with a tag. Throws `invalid`. */
function nameToGive(name: string): string {
  const reference = parseReference(name);
  if (reference.digest !== undefined || !name.endsWith(`:${reference.tag}`)) {
    throw new WherryError('invalid', `invalid tag ${JSON.stringify(name)}`);
  }
  return formatReference(reference);
}

interface DockerEntry {
  readonly Config: string;
  readonly RepoTags: readonly string[];
  readonly Layers: readonly string[];
}

function parseDockerList(content: Buffer): DockerEntry[] {
  let list: unknown;
  try {
    list = JSON.parse(content.toString());
  } catch (error) {
    throw new WherryError('corrupt', 'the manifest.json of the archive is not JSON', { cause: error });
  }
  const strings = (value: unknown): value is string[] =>
    Array.isArray(value) && value.every((v) => typeof v === 'string');
  if (!Array.isArray(list)) {
    throw new WherryError(
      'corrupt',
      `json: cannot unmarshal ${list === null ? 'null' : typeof list} into Go value of type []tarexport.manifestItem`,
    );
  }
  return list.map((entry: Partial<DockerEntry> | null) => {
    const { Config, RepoTags = [], Layers } = entry ?? {};
    if (typeof Config !== 'string' || !strings(Layers) || !(RepoTags === null || strings(RepoTags))) {
      throw new WherryError('corrupt', 'the manifest.json of the archive is invalid');
    }
    return { Config, RepoTags: RepoTags ?? [], Layers };
  });
}

async function readLayout(files: ArchiveFiles, index: Ingest, platform: Platform): Promise<ArchivedImage[]> {
  const images: ArchivedImage[] = [];
  for (const entry of parseIndex(await index.read(largestDocument)).manifests) {
    const content = await document(files, entry, platform);
    const { config, layers } = parseManifest(content);
    const blobs = new Map<Digest, Ingest>();
    for (const { digest } of [config, ...layers]) blobs.set(parseDigest(digest), blob(files, digest));
    const { annotations = {} } = entry;
    const name = annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'] ?? '';
    // A bare word is a tag of no repository (annotations.md leaves its meaning open).
    const full = /[/:]/.test(name) ? fullName(name) : undefined;
    images.push({ manifest: content, blobs, names: full === undefined ? [] : [full] });
  }
  return images;
}

/** The manifest that an entry of a layout's index leads to. */
async function document(files: ArchiveFiles, entry: Descriptor, platform: Platform): Promise<Buffer> {
  const content = await blob(files, entry.digest).read(largestDocument);
  if (entry.digest.startsWith('sha256:') && digestOf(content) !== entry.digest) {
    throw new WherryError('corrupt', `the archive's ${entry.digest} does not match its digest`);
  }
  if (entry.mediaType !== mediaTypes.ociIndex && entry.mediaType !== mediaTypes.dockerList) return content;
  const chosen = selectPlatform(parseIndex(content).manifests, platform);
  if (!chosen) throw new WherryError('notFound', 'no match for platform in manifest: not found');
  // One level: an index of indexes would be a way to make the reader run in circles.
  if (chosen.mediaType === mediaTypes.ociIndex)
    throw new WherryError('unsupported', 'an image index within an image index');
  return await blob(files, chosen.digest).read(largestDocument);
}

function blob(files: ArchiveFiles, digest: string): Ingest {
  const file = isDigest(digest) ? files.find(`blobs/${digest.split(':')[0]}/${hexOf(digest)}`) : undefined;
  if (!file) throw new WherryError('corrupt', `the archive lacks the blob ${digest}`);
  return file;
}

function fullName(name: string): string | undefined {
  const reference = tryParseReference(name);
  return reference && formatReference(reference);
}
