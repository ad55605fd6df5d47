import { type Descriptor, parseDigest } from '@wherry/oci';
import type { PullProgress } from '@wherry/runtime';
import type { Ingest } from '../content/ingest.ts';
import type { PullContext } from './pull-context.ts';
import type { RegistryClient } from './registry-client.ts';

export interface FetchOptions {
  readonly report?: ((progress: PullProgress) => void) | undefined;
  /** Called before the blob's bytes are asked for, where some are missing. */
  readonly onBegun?: ((ingest: Ingest) => void) | undefined;
}

/** Sees to it that the content store has a blob, verified. */
export async function fetchBlob(
  client: RegistryClient,
  descriptor: Descriptor,
  { parts: { content, downloads } }: PullContext,
  { report = () => undefined, onBegun }: FetchOptions = {},
): Promise<void> {
  const digest = parseDigest(descriptor.digest);
  const total = descriptor.size;
  // Two images that are pulled at the same time download what they share once.
  await downloads.run(digest, async () => {
    if ((await content.size(digest)) === total) {
      report({ digest, phase: 'exists' });
      return;
    }
    if (await content.takeKept(digest, total)) {
      report({ digest, phase: 'downloaded' });
      return;
    }
    await using ingest = await content.resume(digest);
    onBegun?.(ingest);
    await client.blob(descriptor, ingest, (current) => report({ digest, phase: 'downloading', current, total }));
    report({ digest, phase: 'verifying' });
    await ingest.commit(digest, { sync: false });
    report({ digest, phase: 'downloaded' });
  });
}
