import { type Digest, digestOf, hashFor, hexOf } from '@wherry/oci';
import type { RegistryContext } from '../context.ts';
import { isTag, type ManifestReference, parseManifestReference, type RepositoryName } from '../names.ts';
import { refusal } from '../refusal.ts';
import { assertTag } from '../storage/contents.ts';
import type { Exchange } from './exchange.ts';
import { largestManifest, parseManifest } from './manifest.ts';
import { preconditionOf } from './precondition.ts';
import { matches } from './send-bytes.ts';
import { location } from './uploads.ts';

/** Tags given to one manifest in one request. */
const mostTags = 100;

/** GET and HEAD of a manifest, by tag or digest, as it was pushed ("Pulling manifests"). */
export async function getManifest(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  text: string,
): Promise<void> {
  const reference = parseManifestReference(text);
  if (reference === undefined) throw manifestUnknown(name, text);
  const found = context.upstream
    ? await context.upstream.manifest(name, reference)
    : await context.contents.manifest(name, reference);
  if (found === undefined) throw manifestUnknown(name, text);
  const tag = `"${found.digest}"`;
  const headers = { 'Docker-Content-Digest': found.digest, ETag: tag };
  if (matches(exchange.header('if-none-match'), tag)) exchange.send(304, headers);
  else exchange.send(200, { ...headers, 'Content-Type': found.record.mediaType }, found.content);
}

/** PUT of a manifest ("Pushing Manifests", "Pushing Manifests with Subject"). */
export async function putManifest(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  text: string,
): Promise<void> {
  const reference = parseManifestReference(text);
  if (reference === undefined)
    throw refusal('TAG_INVALID', 'manifest tag did not match URI', { detail: text.slice(0, 200) });
  const content = await exchange.read(largestManifest, () =>
    refusal('MANIFEST_INVALID', `manifests of more than ${largestManifest} bytes are not taken here`, { status: 413 }),
  );
  const digest = reference.kind === 'digest' ? verified(reference.digest, content) : digestOf(content);
  const parsed = parseManifest(content, exchange.header('content-type'));
  const more = reference.kind === 'tag' ? [] : tagsAsked(exchange);
  const tags = reference.kind === 'tag' ? [reference.tag] : more;
  await context.contents.putManifest(name, digest, content, parsed, {
    tags,
    partial: context.sparse,
    before: expecting(context, exchange, name, reference),
  });
  exchange.send(201, {
    Location: location(context, exchange, `/v2/${name}/manifests/${digest}`),
    'Docker-Content-Digest': digest,
    ...(parsed.subject !== undefined && { 'OCI-Subject': parsed.subject }),
    ...(more.length > 0 && { 'OCI-Tag': more.join(', ') }),
  });
}

/** Tags that a manifest gets as it comes by its digest (distribution-spec after 1.1, "Pushing Manifests": at least 10). */
function tagsAsked({ query }: Exchange): string[] {
  const tags = [...new Set(query.getAll('tag'))];
  if (tags.length > mostTags)
    throw refusal('TAG_INVALID', `more than ${mostTags} tags of one manifest at once`, { status: 414 });
  for (const tag of tags) assertTag(tag);
  return tags;
}

/** DELETE by digest removes the manifest and its tags, by tag only that ("Deleting tags", "Deleting Manifests"). */
export async function deleteManifest(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  text: string,
): Promise<void> {
  const reference = parseManifestReference(text);
  if (reference === undefined) throw manifestUnknown(name, text);
  const { contents } = context;
  const removed = await contents.mutate(name, async () => {
    await expecting(context, exchange, name, reference)?.();
    return reference.kind === 'tag'
      ? await contents.repositories.removeTag(name, reference.tag)
      : await contents.removeManifest(name, reference.digest);
  });
  if (!removed) throw manifestUnknown(name, text);
  exchange.send(202);
}

/** Checks the request's preconditions, where it has any, against what the reference is now. */
function expecting(
  { contents }: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  reference: ManifestReference,
): (() => Promise<void>) | undefined {
  if (exchange.header('if-match') === undefined && exchange.header('if-none-match') === undefined) return undefined;
  const check = preconditionOf(exchange);
  return async () => {
    const digest = await contents.resolve(name, reference);
    const isHere = digest !== undefined && (await contents.repositories.manifest(name, digest)) !== undefined;
    check(isHere ? digest : undefined);
  };
}

function verified(digest: Digest, content: Buffer): Digest {
  if (hashFor(digest).update(content).digest('hex') !== hexOf(digest))
    throw refusal('DIGEST_INVALID', 'provided digest did not match uploaded content', { detail: { digest } });
  return digest;
}

function manifestUnknown(name: RepositoryName, text: string): Error {
  const what = isTag(text) ? { Tag: text } : { Reference: text.slice(0, 200) };
  return refusal('MANIFEST_UNKNOWN', 'manifest unknown', { detail: { Name: name, ...what } });
}
