import type { Digest } from '@wherry/oci';
import type { RegistryContext } from '../context.ts';
import { type RepositoryName, requireDigest } from '../names.ts';
import { refusal } from '../refusal.ts';
import type { Exchange } from './exchange.ts';
import { matches, parseRange, sendBytes } from './send-bytes.ts';

/** GET and HEAD of a blob (distribution-spec 1.1, "Pulling blobs", "Checking if content exists"). */
export async function getBlob(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  reference: string,
): Promise<void> {
  const digest = requireDigest(reference);
  if (exchange.isHead) {
    const size = (await context.contents.blobSize(name, digest)) ?? (await context.upstream?.blobSize(name, digest));
    if (size === undefined) throw blobUnknown(digest);
    if (isKnown(exchange, digest)) exchange.send(304, headersOf(digest));
    else exchange.send(200, { ...headersOf(digest), 'Content-Length': size });
    return;
  }
  const blob = (await context.contents.openBlob(name, digest)) ?? (await context.upstream?.blob(name, digest));
  if (blob === undefined) throw blobUnknown(digest);
  try {
    if (isKnown(exchange, digest)) {
      exchange.send(304, headersOf(digest));
      return;
    }
    const ifRange = exchange.header('if-range');
    const applies = ifRange === undefined || ifRange === `"${digest}"`;
    const range = parseRange(applies ? exchange.header('range') : undefined, blob.size);
    if (range === 'unsatisfiable')
      throw refusal('SIZE_INVALID', 'the range lies outside of the blob', {
        status: 416,
        headers: { 'Content-Range': `bytes */${blob.size}` },
      });
    const { response } = exchange;
    response.statusCode = range.partial ? 206 : 200;
    for (const [header, value] of Object.entries(headersOf(digest))) exchange.setHeader(header, value);
    exchange.setHeader('Content-Length', range.end - range.start);
    if (range.partial) exchange.setHeader('Content-Range', `bytes ${range.start}-${range.end - 1}/${blob.size}`);
    await sendBytes(exchange, blob, range.start, range.end);
  } finally {
    await blob.close();
  }
}

/** DELETE of a blob: the repository's link to it ("Deleting Blobs"). */
export async function deleteBlob(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  reference: string,
): Promise<void> {
  const digest = requireDigest(reference);
  if (!(await context.contents.deleteBlob(name, digest))) throw blobUnknown(digest);
  exchange.send(202, { 'Docker-Content-Digest': digest });
}

function isKnown(exchange: Exchange, digest: Digest): boolean {
  return matches(exchange.header('if-none-match'), `"${digest}"`);
}

function headersOf(digest: Digest): Record<string, string> {
  return {
    'Content-Type': 'application/octet-stream',
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'Accept-Ranges': 'bytes',
    // What a digest names never changes.
    'Cache-Control': 'max-age=31536000',
  };
}

function blobUnknown(digest: Digest): Error {
  return refusal('BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest } });
}
