import type { Filters } from '@wherry/docker';
import type { ImageSummary } from '@wherry/images';
import { booleanFilter, checkFilters, matchesPruneLabels, untilFilter } from '../http/filters.ts';
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

const known = ['dangling', 'label', 'label!', 'before', 'since', 'reference', 'until'];

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
    if (!timely(image) || !matchesPruneLabels(image.labels, filters)) continue;
    const matching = (name: string): boolean =>
      patterns === undefined || patterns.some(({ expression }) => matchesName(expression, name));
    const tags = image.names.filter(matching).map(familiar).sort();
    const digests = image.digests.filter(matching).map(familiar).sort();
    if (tags.length === 0 && digests.length === 0) {
      if (!all && parents.has(image.id)) continue;
      if (dangling === false || patterns !== undefined) continue;
    } else if (dangling === true && tags.length > 0) continue;
    listed.push({ image, tags, digests });
  }
  return listed.sort((left, right) => right.image.createdAt - left.image.createdAt);
}

async function timeFilter(
  images: EngineImages,
  filters: Filters,
  now: number,
): Promise<(image: ImageSummary) => boolean> {
  const createdAt = async (references: readonly string[] = []): Promise<number[]> =>
    await Promise.all(references.map(async (reference) => (await images.details(reference)).createdAt));
  const before = await createdAt(filters.get('before'));
  const since = await createdAt(filters.get('since'));
  const until = untilFilter(filters, now);
  return (image) =>
    before.every((time) => image.createdAt < time) &&
    since.every((time) => image.createdAt > time) &&
    (until === undefined || image.createdAt < until);
}

/** A pattern matches a name with its tag, or the repository alone. */
function matchesName(expression: RegExp, name: string): boolean {
  return expression.test(familiar(name)) || expression.test(familiarRepositoryOf(name));
}
