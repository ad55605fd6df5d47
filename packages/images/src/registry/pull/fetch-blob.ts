import { codeOf } from '@wherry/base';
import { type Descriptor, parseDigest } from '@wherry/oci';
import type { PullProgress } from '@wherry/runtime';
import type { Ingest } from '../../content/ingest.ts';
import type { RegistryClient } from '../registry-client.ts';
import type { PullContext } from './pull-context.ts';

export interface FetchOptions {
  readonly report?: ((progress: PullProgress) => void) | undefined;
  /** Called before the blob's bytes are asked for, where some are missing. */
  readonly onBegun?: ((ingest: Ingest) => void) | undefined;
}

/** Sees to it that the content store has a blob, verified. */
export async function fetchBlob(
  client: RegistryClient,
  descriptor: Descriptor,
  { parts: { content, downloads }, signal }: PullContext,
  { report = () => undefined, onBegun }: FetchOptions = {},
): Promise<void> {
  const digest = parseDigest(descriptor.digest);
  const total = descriptor.size;
  // Two images that are pulled at the same time download what they share once.
  const fetchOnce = async (begun?: FetchOptions['onBegun']): Promise<boolean> => {
    await using ingest = await content.resume(digest);
    const kept = ingest.size;
    begun?.(ingest);
    await client.blob(descriptor, ingest, (current) => report({ digest, phase: 'downloading', current, total }));
    report({ digest, phase: 'verifying' });
    try {
      await ingest.commit(digest, { sync: false });
      return true;
    } catch (error) {
      if (kept === 0 || codeOf(error) !== 'corrupt') throw error;
      return false;
    }
  };
  const work = async (): Promise<void> => {
    if ((await content.size(digest)) === total) {
      report({ digest, phase: 'exists' });
      return;
    }
    if (await content.takeKept(digest, total)) {
      report({ digest, phase: 'downloaded' });
      return;
    }
    const isWhole = await fetchOnce(onBegun);
    // What was kept from another time may be what is wrong.
    if (!isWhole) await fetchOnce();
    report({ digest, phase: 'downloaded' });
  };
  await downloads.run(digest, work, { signal });
}
