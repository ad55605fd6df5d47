import { type Clock, codeOf, messageOf, WherryError } from '@wherry/base';
import { checkPlatform, type PullImageOptions } from '@wherry/images';
import { formatReference, type Platform, parseReference } from '@wherry/oci';
import type { PullProgress, RegistryAuth } from '@wherry/runtime';
import type { JsonLines } from '../http/json-lines.ts';
import { Progress } from '../http/progress.ts';
import type { EngineImages } from '../options.ts';
import { familiar, familiarRepositoryOf } from './names.ts';

export interface PullRequest {
  /** With tag or digest; without one, every tag of the repository. */
  readonly name: string;
  readonly allTags: boolean;
  readonly platform: Platform | undefined;
  readonly auth: RegistryAuth | undefined;
  readonly signal: AbortSignal;
}

/** Pulls with dockerd's lines. Fails before the first one with a status, and after it on the stream. */
export async function pullImage(
  images: EngineImages,
  request: PullRequest,
  lines: JsonLines,
  clock: Clock,
): Promise<void> {
  const { name, allTags } = request;
  try {
    let changed = false;
    const names = allTags ? await tagsOf(images, request) : [name];
    for (const one of names) {
      const eventOf = !allTags ? 'tag' : one === names.at(-1) ? 'repository' : 'nothing';
      changed = (await pullOne(images, { ...request, name: one }, eventOf, lines, clock)) || changed;
    }
    lines.write({ status: pullStatus(allTags ? familiarRepositoryOf(name) : familiar(name), changed) });
    if (!allTags) await checkPulled(images, request);
    lines.end();
  } catch (error) {
    lines.fail(asServerError(error));
  }
}

/** Where an index has it for the platform that was asked for, what the image says of itself does not matter. */
async function checkPulled(images: EngineImages, { name, platform }: PullRequest): Promise<void> {
  const fits = await images.details(name, platform).catch(() => undefined);
  if (fits !== undefined) return;
  // Removed since, it has none.
  const image = await images.details(name).catch(() => undefined);
  if (image !== undefined) checkPlatform(name, image.config, platform);
}

async function tagsOf(images: EngineImages, { name, auth, signal }: PullRequest): Promise<readonly string[]> {
  const tags = await images.remoteTags(name, { auth, signal });
  return tags.map((tag) => `${name}:${tag}`);
}

/** The last line of a pull: of a name as docker shows it, and whether it means another image than before. */
export function pullStatus(shown: string, isNew: boolean): string {
  return `Status: ${isNew ? 'Downloaded newer image for' : 'Image is up to date for'} ${shown}`;
}

/** Whether the name means another image than before. */
async function pullOne(
  images: EngineImages,
  request: PullRequest,
  eventOf: PullImageOptions['eventOf'],
  lines: JsonLines,
  clock: Clock,
): Promise<boolean> {
  const { auth, platform, signal } = request;
  const reference = parseReference(request.name);
  const name = formatReference(reference);
  const report = new PullReport(new Progress(lines, clock), reference.path, reference.tag ?? familiar(name));
  const { digest, isNew } = await images.pull(name, {
    auth,
    signal,
    eventOf,
    ...(platform === undefined ? {} : { platform }),
    // The registry has the name: what dockerd finds wrong from there on comes on the stream.
    onResolved: () => report.begin(),
    onProgress: (progress) => report.add(progress),
  });
  report.finish(reference.digest ?? digest);
  return isNew;
}

const steps = {
  announced: 'Pulling fs layer',
  waiting: 'Waiting',
  verifying: 'Verifying Checksum',
  downloaded: 'Download complete',
  complete: 'Pull complete',
  exists: 'Already exists',
} as const;

/** One pull's lines. */
export class PullReport {
  readonly #progress: Progress;
  readonly #path: string;
  readonly #id: string;
  #begun = false;

  constructor(progress: Progress, path: string, id: string) {
    this.#progress = progress;
    this.#path = path;
    this.#id = id;
  }

  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#progress.say(`Pulling from ${this.#path}`, this.#id);
  }

  add({ digest, phase, current, total }: PullProgress): void {
    this.begin();
    const layer = digest.slice(digest.indexOf(':') + 1).slice(0, 12);
    if (phase === 'downloading') this.#progress.bar(layer, 'Downloading', current ?? 0, total);
    else if (phase === 'extracting') this.#progress.bar(layer, 'Extracting', current ?? 0, total);
    else this.#progress.step(layer, steps[phase]);
  }

  finish(digest: string): void {
    this.begin();
    this.#progress.say(`Digest: ${digest}`);
  }
}

/** dockerd has one status for whatever goes wrong between it and a registry, but for what is not there. */
export function asServerError(error: unknown): unknown {
  const code = codeOf(error);
  if (code !== 'unavailable' && code !== 'unauthorized' && code !== 'forbidden' && code !== 'timeout') return error;
  return new WherryError('internal', messageOf(error), { cause: error });
}
