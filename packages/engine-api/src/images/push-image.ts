import type { Clock } from '@wherry/base';
import type { PushProgress } from '@wherry/images';
import { type Platform, parseReference, repositoryOf } from '@wherry/oci';
import type { RegistryAuth } from '@wherry/runtime';
import type { JsonLines } from '../http/json-lines.ts';
import { Progress } from '../http/progress.ts';
import type { EngineImages } from '../options.ts';
import { isBare } from './names.ts';

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
  const allTags = isBare(name);
  const progress = new Progress(lines, clock);
  progress.say(`The push refers to repository [${repository}]`);
  try {
    // Refused in the words of an inspection before anything is said of layers.
    if (platform !== undefined && !allTags) await images.details(name, platform);
    await images.push(name, {
      auth,
      platform,
      allTags,
      signal,
      onProgress: (report) => tell(progress, report),
      onPushed: ({ tag, digest, size }) => {
        progress.say(`${tag}: digest: ${digest} size: ${size}`);
        lines.write({ progressDetail: {}, aux: { Tag: tag, Digest: digest, Size: size } });
      },
    });
    lines.end();
  } catch (error) {
    lines.fail(error);
  }
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
