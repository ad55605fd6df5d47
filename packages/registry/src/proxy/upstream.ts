import type { Descriptor, Digest } from '@wherry/oci';
import type { ManifestReference, RepositoryName } from '../names.ts';
import type { StoredManifest } from '../storage/contents.ts';
import type { BlobBytes } from '../storage/opened-blob.ts';

/** The registry behind a pull-through cache. */
export interface Upstream extends AsyncDisposable {
  /** The manifest as upstream has it now; what is kept of it where upstream does not answer. */
  manifest(name: RepositoryName, reference: ManifestReference): Promise<StoredManifest | undefined>;
  /** Size of a blob that is not here. */
  blobSize(name: RepositoryName, digest: Digest): Promise<number | undefined>;
  /** A blob that is not here: readable while it arrives. */
  blob(name: RepositoryName, digest: Digest): Promise<BlobBytes | undefined>;
  /** `undefined` where upstream does not say. */
  tags(name: RepositoryName): Promise<readonly string[] | undefined>;
  referrers(name: RepositoryName, subject: Digest): Promise<readonly Descriptor[] | undefined>;
}
