import type { Clock } from '@wherry/base';
import { WherryError } from '@wherry/base';
import type { PushProgress } from '@wherry/images';
import { type Platform, parseReference, repositoryOf, tryParseReference } from '@wherry/oci';
import type { RegistryAuth } from '@wherry/runtime';
import type { JsonLines } from '../http/json-lines.ts';
import { Progress } from '../http/progress.ts';
import type { EngineImages } from '../options.ts';
import { familiarRepositoryOf, isBare } from './names.ts';

export interface PushRequest {
  /** Without tag: every one that the repository has here. */
  readonly name: string;
  /** Which of the images that the name has is pushed. */
  readonly platform?: Platform | undefined;
  readonly auth: RegistryAuth | undefined;
  readonly signal: AbortSignal;
}

/** Pushes with dockerd's lines; what goes wrong comes on the stream. Throws `invalid` before for a bad name. */
export async function pushImage(
  images: EngineImages,
  { name, platform, auth, signal }: PushRequest,
  lines: JsonLines,
  clock: Clock,
): Promise<void> {
  const repository = repositoryOf(parseReference(name));
  const progress = new Progress(lines, clock);
  progress.say(`The push refers to repository [${repository}]`);
  try {
    for (const one of isBare(name) ? await tagsOf(images, repository) : [name]) {
      // Refused in the words of an inspection before anything is said of layers.
      if (platform !== undefined) await images.details(one, platform);
      const onProgress = (report: PushProgress): void => tell(progress, report);
      for (const { tag, digest, size } of await images.push(one, { auth, platform, signal, onProgress })) {
        progress.say(`${tag}: digest: ${digest} size: ${size}`);
        lines.write({ progressDetail: {}, aux: { Tag: tag, Digest: digest, Size: size } });
      }
    }
    lines.end();
  } catch (error) {
    lines.fail(error);
  }
}

async function tagsOf(images: EngineImages, repository: string): Promise<readonly string[]> {
  const names = (await images.summaries()).flatMap((image) => image.names);
  const tags = names.filter((name) => {
    const reference = tryParseReference(name);
    return reference !== undefined && repositoryOf(reference) === repository;
  });
  if (tags.length > 0) return tags.sort();
  const shown = familiarRepositoryOf(repository);
  throw new WherryError('notFound', `An image does not exist locally with the tag: ${shown}`);
}

function tell(progress: Progress, { digest, phase, current, total, from }: PushProgress): void {
  const layer = digest.slice(digest.indexOf(':') + 1).slice(0, 12);
  if (phase === 'pushing') progress.bar(layer, 'Pushing', current ?? 0, total);
  else progress.step(layer, phase === 'mounted' ? `Mounted from ${from ?? ''}` : steps[phase]);
}

const steps = {
  preparing: 'Preparing',
  waiting: 'Waiting',
  pushed: 'Pushed',
  exists: 'Layer already exists',
} as const;
