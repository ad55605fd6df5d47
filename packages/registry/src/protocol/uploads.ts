import { isDigest } from '@wherry/oci';
import type { RegistryContext } from '../context.ts';
import { isRepositoryName, type RepositoryName, requireDigest } from '../names.ts';
import { refusal } from '../refusal.ts';
import type { Upload } from '../storage/uploads.ts';
import type { Exchange } from './exchange.ts';

/** POST: begins an upload, takes a whole blob, or mounts one ("Pushing blobs", "Mounting a blob from another repository"). */
export async function beginUpload(context: RegistryContext, exchange: Exchange, name: RepositoryName): Promise<void> {
  const { query } = exchange;
  const mount = query.get('mount');
  if (mount !== null && (await mountBlob(context, exchange, name, mount, query.get('from')))) return;
  const algorithm = query.get('digest-algorithm') ?? 'sha256';
  if (algorithm !== 'sha256' && algorithm !== 'sha512')
    throw refusal('DIGEST_INVALID', 'only sha256 and sha512 are supported', { detail: algorithm.slice(0, 40) });
  const whole = query.get('digest');
  const digest = whole === null ? undefined : requireDigest(whole);
  const { uploads } = context.contents;
  const upload = await uploads.begin(name, digest?.startsWith('sha512:') ? 'sha512' : algorithm);
  if (digest === undefined) {
    exchange.send(202, uploadHeaders(context, exchange, upload));
    return;
  }
  try {
    await upload.exclusively(async (signal) => {
      await receive(context, exchange, upload, signal);
      await context.contents.commit(upload, digest);
    });
  } catch (error) {
    await uploads.drop(upload);
    throw error;
  }
  created(context, exchange, name, digest);
}

/** GET: how far it is. */
export async function uploadStatus(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  id: string,
): Promise<void> {
  const upload = await context.contents.uploads.find(name, id);
  exchange.send(204, uploadHeaders(context, exchange, upload));
}

/** PATCH: a chunk in its turn, or all that comes. */
export async function patchUpload(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  id: string,
): Promise<void> {
  const upload = await context.contents.uploads.find(name, id);
  await upload.exclusively(async (signal) => {
    const end = endOfChunk(context, exchange, upload);
    await receive(context, exchange, upload, signal, end);
  });
  exchange.send(202, uploadHeaders(context, exchange, upload));
}

/** PUT: the last chunk, or none, and the digest of the whole. */
export async function putUpload(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  id: string,
): Promise<void> {
  const upload = await context.contents.uploads.find(name, id);
  const digest = requireDigest(exchange.query.get('digest') ?? undefined);
  await upload.exclusively(async (signal) => {
    const end = endOfChunk(context, exchange, upload);
    await receive(context, exchange, upload, signal, end);
    await context.contents.commit(upload, digest);
  });
  created(context, exchange, name, digest);
}

/** DELETE: forgets it. */
export async function cancelUpload(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  id: string,
): Promise<void> {
  const upload = await context.contents.uploads.find(name, id);
  await context.contents.uploads.cancel(upload);
  exchange.send(204, { 'Docker-Upload-UUID': upload.id });
}

/** Without `from`, any repository is good that the client may pull from; a mount that fails becomes an upload. */
async function mountBlob(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  mount: string,
  from: string | null,
): Promise<boolean> {
  // What cannot be mounted is uploaded, whatever the reason.
  if (!isDigest(mount)) return false;
  const { contents } = context;
  const source =
    from === null
      ? await contents.whoHas(mount, pullable(context, exchange))
      : isRepositoryName(from) && context.allows(exchange, from, 'pull')
        ? from
        : undefined;
  if (source !== undefined && (await contents.mount(source, name, mount))) {
    created(context, exchange, name, mount);
    return true;
  }
  // Who comes with an earlier token, for pushing only, is told what to ask for: that it may pull there too.
  if (from === null || !isRepositoryName(from) || !context.wouldAllow(exchange, from, 'pull')) return false;
  if ((await contents.whoHas(mount, [from])) === undefined) return false;
  throw context.denial(exchange, [
    { name, action: 'push' },
    { name: from, action: 'pull' },
  ]);
}

/** Looking for a blob in every repository has an end. */
const mostSearched = 1000;

function* pullable(context: RegistryContext, exchange: Exchange): Generator<RepositoryName> {
  for (const name of context.contents.repositories.names().slice(0, mostSearched))
    if (context.allows(exchange, name, 'pull')) yield name;
}

/** Takes the body, up to where the chunk ends that it says it is. */
async function receive(
  context: RegistryContext,
  exchange: Exchange,
  upload: Upload,
  signal: AbortSignal,
  end?: number,
): Promise<void> {
  const fits = await context.contents.quotaCheck(upload.repository);
  const check = (size: number): void => {
    if (end !== undefined && size > end) throw wrongLength(context, exchange, upload);
    fits(size);
  };
  const length = Number(exchange.header('content-length') ?? 0);
  if (Number.isSafeInteger(length)) check(upload.offset + length);
  const interrupt = (): void => void exchange.request.destroy();
  signal.addEventListener('abort', interrupt, { once: true });
  try {
    await upload.append(exchange.body(), check, signal);
  } finally {
    signal.removeEventListener('abort', interrupt);
    await upload.touch(context.contents.now());
  }
  if (end !== undefined && upload.offset !== end) throw wrongLength(context, exchange, upload);
}

/** Of a body without Content-Length this is known only when it has come: what came of the chunk stays. */
function wrongLength(context: RegistryContext, exchange: Exchange, upload: Upload): Error {
  return refusal('SIZE_INVALID', 'provided length did not match content length', {
    detail: 'the body is not as long as its Content-Range',
    headers: uploadHeaders(context, exchange, upload),
  });
}

/**
 * A chunk that says where it belongs must follow what is here ("Pushing a blob in chunks"); else 416. Gives how long the
 * upload is with it.
 */
function endOfChunk(context: RegistryContext, exchange: Exchange, upload: Upload): number | undefined {
  const header = exchange.header('content-range');
  if (header === undefined) return undefined;
  const match = /^(?:bytes[ =])?\s*(\d{1,16})-(\d{1,16})(?:\/(?:\d+|\*))?$/.exec(header.trim());
  const [start, end] = match ? [Number(match[1]), Number(match[2])] : [];
  if (start !== upload.offset || end! < start - 1)
    throw refusal('BLOB_UPLOAD_INVALID', 'invalid content range', {
      status: 416,
      detail: `the upload has ${upload.offset} bytes; got Content-Range ${header.slice(0, 80)}`,
      headers: uploadHeaders(context, exchange, upload),
    });
  const length = exchange.header('content-length');
  if (length !== undefined && Number(length) !== end! - start + 1) throw wrongLength(context, exchange, upload);
  return end! + 1;
}

function uploadHeaders(context: RegistryContext, exchange: Exchange, upload: Upload): Record<string, string> {
  return {
    Location: location(context, exchange, `/v2/${upload.repository}/blobs/uploads/${upload.id}`),
    // The reference registry says 0-0 of an upload without bytes too.
    Range: `0-${Math.max(upload.offset - 1, 0)}`,
    'Docker-Upload-UUID': upload.id,
  };
}

function created(context: RegistryContext, exchange: Exchange, name: RepositoryName, digest: string): void {
  exchange.send(201, {
    Location: location(context, exchange, `/v2/${name}/blobs/${digest}`),
    'Docker-Content-Digest': digest,
  });
}

/** A URL for `Location`: relative unless told otherwise, which no proxy in between can spoil. */
export function location(context: RegistryContext, exchange: Exchange, path: string): string {
  return context.absoluteLocations ? (context.externalUrl ?? exchange.origin) + path : path;
}
