import type { Descriptor, Digest, ImageConfig, Platform } from '@wherry/oci';
import type { PullOptions, RegistryAuth, UserMappings } from '@wherry/runtime';
import type { ImageRecord, LayerRecord } from './metadata.ts';

/**
 * The image store as people manage it: what `docker image` and the builder do. `ImageStore` implements it beside
 * what containers need. References are taken as `imageStatus` takes them: name, tag, digest, ID or unique prefix.
 */
export interface ImageLibrary {
  /** Every image once, newest first; those without a name (dangling) too. */
  summaries(): Promise<readonly ImageSummary[]>;
  /**
   * With a platform, what a name's index has here for it. Throws `notFound` (`No such image: NAME:TAG`), also where there
   * is none of that platform.
   */
  details(reference: string, platform?: Platform): Promise<ImageDetails>;
  /**
   * What is behind an image's name: the images that an index has for each platform, here or not, or the one manifest. By
   * an ID there is no index. Throws `notFound`.
   */
  manifests(reference: string): Promise<ImageManifests>;
  /** `undefined` when it is not here. */
  find(reference: string): Promise<ImageRecord | undefined>;
  tag(reference: string, name: string): Promise<void>;
  /**
   * Docker's rules: by name only the name goes while others are left; the last name takes the image with it; by ID
   * with several names only with `force`. Throws `notFound`; `conflict` with docker's words when `inUse` names a
   * container (`conflict: unable to remove repository reference "x" (must force) - container … is using its
   * referenced image …`) or when it has children. Gives what happened in order.
   */
  remove(reference: string, options: RemoveImageOptions): Promise<readonly RemovedPart[]>;
  prune(options: PruneImagesOptions): Promise<{ readonly removed: readonly RemovedPart[]; readonly bytes: number }>;
  /**
   * An archive in docker's format that is an OCI layout, too (docker ≥ 25), of these images with their names; without a
   * platform, of all images that the index of a name has here.
   */
  save(
    references: readonly string[],
    options?: { readonly platform?: Platform | undefined },
  ): AsyncIterable<Uint8Array>;
  /** Pulls as docker does: errors in dockerd's words (`pullImage` has containerd's). */
  pull(reference: string, options?: PullImageOptions): Promise<PulledImage>;
  /**
   * Pushes a tag, or every tag of a repository (`allTags`): the whole index where all that it names is here, else one
   * image; with a platform, the image that the name has for it. Resolves with what was pushed. Errors in
   * dockerd's words.
   */
  push(reference: string, options: PushOptions): Promise<readonly PushedTag[]>;
  /** All tags of a repository that a registry has, for `pull -a`. */
  remoteTags(repository: string, options?: PullOptions): Promise<readonly string[]>;
  /** What a registry has under a name, and for which platforms (`docker manifest`). Errors in dockerd's words. */
  remoteManifest(reference: string, options?: PullOptions): Promise<RemoteManifest>;
  /** Docker's search of a registry's index (v1 API). */
  search(
    term: string,
    options: { readonly limit?: number; readonly auth?: RegistryAuth | undefined },
  ): Promise<readonly SearchResult[]>;
  /** Checks credentials against a registry (`docker login`); gives an identity token where it hands one out. */
  login(server: string, auth: RegistryAuth): Promise<{ readonly status: string; readonly identityToken: string }>;

  /**
   * Makes a layer of what an overlay mount over `base` wrote into `upper` (whiteouts become `.wh.` entries) and keeps
   * its files as the unpacked layer; `adopt` takes the folder itself by renaming it. `undefined`: nothing changed.
   * Deterministic with `timestamp` (ms), to which later file times are clamped (SOURCE_DATE_EPOCH). The layer is
   * pinned until the result is disposed or an image or hold uses it.
   */
  commitLayer(request: CommitLayer): Promise<CommittedLayer | undefined>;
  /** Enters an image made of layers that are here. */
  assemble(image: AssembleImage): Promise<{ readonly id: Digest; readonly manifest: Digest }>;
  /** Unpacked layers, topmost first, held for `owner` until `release(owner)`. */
  holdLayers(owner: string, layers: readonly LayerRecord[]): Promise<readonly string[]>;

  /** Bytes of unpacked layers by chain id, each once (`system df`), and of blobs. */
  layerSizes(): Promise<ReadonlyMap<Digest, number>>;
  /** Changes of images and names, as docker's image events: pull, push, tag, untag, delete, import, load, save, prune. */
  onEvent(listener: (event: ImageEvent) => void): Disposable;
}

export interface RemoteManifest {
  readonly descriptor: Descriptor;
  readonly platforms: readonly Platform[];
}

export interface ImageSummary {
  readonly id: Digest;
  readonly manifest: Digest;
  readonly parent: Digest | undefined;
  readonly names: readonly string[]; // full references with a tag
  readonly digests: readonly string[]; // full references with a digest
  /** It has no name, and the index of another image's name has it for its platform: it is not dangling. */
  readonly isBehindName: boolean;
  readonly createdAt: number | undefined; // ms; of the config, where it says so
  readonly addedAt: number; // ms
  /** Unpacked bytes of all layers, which docker shows. */
  readonly sizeBytes: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly layers: readonly LayerRecord[];
}

export interface ImageDetails extends ImageSummary {
  readonly config: ImageConfig;
  /** The config as stored, for fields that only docker knows (`container_config`, `docker_version`). */
  readonly rawConfig: Readonly<Record<string, unknown>>;
  readonly lastTaggedAt: number | undefined; // ms
  /** Unpacked folders, topmost first, as `GraphDriver` shows them. */
  readonly folders: readonly string[];
  /** Unpacked bytes of each layer, bottom first. */
  readonly layerBytes: readonly number[];
}

export interface ImageManifests {
  /** The index, or the manifest. */
  readonly target: Descriptor;
  readonly manifests: readonly ImageManifest[];
}

export interface ImageManifest {
  /** As the index has it. */
  readonly descriptor: Descriptor;
  readonly kind: 'image' | 'attestation' | 'unknown';
  readonly platform?: Platform | undefined;
  /** Of manifest, config and layers that are here, as they are stored. */
  readonly contentBytes: number;
  /** Where it is here. */
  readonly image?: { readonly id: Digest; readonly unpackedBytes: number } | undefined;
  /** The manifest that an attestation is about. */
  readonly attests?: Digest | undefined;
}

export interface RemoveImageOptions {
  readonly force?: boolean | undefined;
  /** False: keep untagged parents. */
  readonly pruneParents?: boolean | undefined;
  readonly inUse: (image: Digest) => { readonly containerId: string; readonly running: boolean } | undefined;
}

export type RemovedPart = { readonly untagged: string } | { readonly deleted: Digest };

export interface PruneImagesOptions {
  /** Also those with names. */
  readonly all: boolean;
  readonly filter: (image: ImageSummary) => boolean;
  readonly inUse: RemoveImageOptions['inUse'];
}

export interface PushOptions {
  readonly auth?: RegistryAuth | undefined;
  readonly allTags?: boolean | undefined;
  readonly platform?: Platform | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: PushProgress) => void) | undefined;
  /** After each tag. */
  readonly onPushed?: ((tag: PushedTag) => void) | undefined;
}

export interface PullImageOptions extends PullOptions {
  /** What the event of the pull names (default: the tag). All tags of a repository have one event, at the last. */
  readonly eventOf?: 'tag' | 'repository' | 'nothing' | undefined;
}

export interface PulledImage {
  readonly id: Digest;
  /** What the registry named: a manifest or an index. */
  readonly digest: Digest;
  /** False: the name meant this image before (`Image is up to date`). */
  readonly isNew: boolean;
}

export interface PushProgress {
  /** The layer's diff ID, by which docker shows it. */
  readonly digest: Digest;
  readonly phase: 'preparing' | 'waiting' | 'pushing' | 'pushed' | 'exists' | 'mounted';
  readonly current?: number;
  readonly total?: number;
  /** Of `mounted`: the repository it came from. */
  readonly from?: string;
}

export interface PushedTag {
  readonly tag: string;
  readonly digest: Digest;
  readonly size: number;
}

export interface SearchResult {
  readonly name: string;
  readonly description: string;
  readonly stars: number;
  readonly official: boolean;
  readonly automated: boolean;
}

export interface CommitLayer {
  readonly upper: string;
  /** The layers below, bottom first. */
  readonly base: readonly LayerRecord[];
  readonly adopt?: boolean | undefined;
  /** Users that the files belong to, whose own numbers for them go into the layer; not with `adopt`. */
  readonly users?: UserMappings | undefined;
  readonly timestamp?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CommittedLayer extends LayerRecord, Disposable {}

export interface AssembleImage {
  /** Without `rootfs`, which follows from the layers. */
  readonly config: Omit<ImageConfig, 'rootfs'>;
  readonly layers: readonly LayerRecord[];
  /** The image that it was made from, if any (docker's `Parent`). */
  readonly parent?: Digest | undefined;
  readonly references?: readonly string[] | undefined;
  /** Told before the image can be found. */
  readonly onId?: ((id: Digest) => void) | undefined;
}

export interface ImageEvent {
  readonly action: 'pull' | 'push' | 'tag' | 'untag' | 'delete' | 'import' | 'load' | 'save' | 'prune';
  readonly id: string;
  /** A familiar name, where the event has one. */
  readonly name: string | undefined;
  /** More facts: the image's labels, `reclaimed` bytes of `prune`. */
  readonly attributes?: Readonly<Record<string, string>> | undefined;
}
