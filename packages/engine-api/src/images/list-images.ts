import type { Filters } from '@wherry/docker';
import type { ImageSummary } from '@wherry/images';
import { booleanFilter, checkFilters, matchesLabels, untilFilter } from '../http/filters.ts';
import { globPattern } from '../http/glob.ts';
import type { EngineImages } from '../options.ts';
import { familiar, familiarRepositoryOf } from './names.ts';

export interface ListImagesOptions {
  /** Intermediate images, too. */
  readonly all: boolean;
  readonly filters: Filters;
  readonly now: number;
}

/** An image as `docker images` shows it: with those of its names that the filters leave. */
export interface ListedImage {
  readonly image: ImageSummary;
  readonly tags: readonly string[];
  readonly digests: readonly string[];
}

const known = ['dangling', 'label', 'before', 'since', 'reference', 'until'];

/** Chooses images as dockerd does, newest first. Throws `invalid` and `notFound`. */
export async function listImages(images: EngineImages, options: ListImagesOptions): Promise<readonly ListedImage[]> {
  const { all, filters, now } = options;
  checkFilters(filters, known);
  const dangling = booleanFilter(filters, 'dangling');
  const patterns = filters.get('reference')?.map((text) => ({ text, expression: globPattern(text) }));
  const summaries = await images.summaries();
  const parents = new Set(summaries.map(({ parent }) => parent));
  const timely = await timeFilter(images, filters, now);
  const listed: ListedImage[] = [];
  for (const image of summaries) {
    if (!timely(image) || !matchesLabels(image.labels, filters.get('label'))) continue;
    const matching = (name: string): boolean =>
      patterns === undefined || patterns.some(({ expression }) => matchesName(expression, name));
    const tags = image.names.filter(matching).sort().map(familiar);
    const digests = image.digests.filter(matching).sort().map(familiar);
    if (tags.length === 0 && digests.length === 0) {
      // What others stand on dangles for nobody, also where all are asked for.
      if ((!all || dangling === true) && parents.has(image.id)) continue;
      if (!all && image.isBehindName) continue;
      if (dangling === image.isBehindName || patterns !== undefined) continue;
    } else if (dangling === true && tags.length > 0) continue;
    listed.push({ image, tags, digests });
  }
  return listed.sort((left, right) => (right.image.createdAt ?? 0) - (left.image.createdAt ?? 0));
}

/** As Go writes a map: by their names; `null` for none. */
export function labelsOf({ labels }: ImageSummary): Readonly<Record<string, string>> | null {
  const names = Object.keys(labels).sort();
  return names.length === 0 ? null : Object.fromEntries(names.map((name) => [name, labels[name]!]));
}

async function timeFilter(
  images: EngineImages,
  filters: Filters,
  now: number,
): Promise<(image: ImageSummary) => boolean> {
  const createdAt = async (references: readonly string[] = []): Promise<number[]> =>
    await Promise.all(references.map(async (reference) => (await images.details(reference)).createdAt ?? 0));
  const before = await createdAt(filters.get('before'));
  const since = await createdAt(filters.get('since'));
  // Several mean the earliest.
  const until = (filters.get('until') ?? []).map((value) => untilFilter(new Map([['until', [value]]]), now)!);
  if (before.length + since.length + until.length === 0) return () => true;
  // An image that does not say when it was made is neither before nor after anything.
  return ({ createdAt: made }) =>
    made !== undefined &&
    before.every((time) => made < time) &&
    since.every((time) => made > time) &&
    until.every((time) => made < time);
}

/** A pattern matches a name with its tag, or the repository alone. */
function matchesName(expression: RegExp, name: string): boolean {
  return expression.test(familiar(name)) || expression.test(familiarRepositoryOf(name));
}
