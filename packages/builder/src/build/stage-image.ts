import { rfc3339 } from '@wherry/base';
import type { ImageDetails, LayerRecord } from '@wherry/images';
import type { ImageConfig, Platform } from '@wherry/oci';
import type { Config } from '../config/apply.ts';
import type { Services } from '../services.ts';

export type History = NonNullable<ImageConfig['history']>;

export const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a step makes of the image before it. */
export interface Change {
  /** For the history, and as the command of docker's `container_config`. */
  readonly words: readonly string[];
  readonly config: Config;
  readonly author?: string | undefined;
  readonly layer?: LayerRecord | undefined;
}

/** The image of a stage as far as it is built. */
export interface StageImage {
  /** Empty for `scratch`. */
  readonly id: string;
  readonly layers: readonly LayerRecord[];
  readonly config: Config;
  readonly author: string | undefined;
  readonly platform: Platform;
  /** Layers of the image that the stage was begun with. */
  readonly baseLayers: number;
}

export function scratchImage(platform: Platform): StageImage {
  return { id: '', layers: [], config: withPath({}), author: undefined, platform, baseLayers: 0 };
}

/** The image that a stage is begun with. Its triggers are taken out: they are done once. Its author is not the stage's. */
export function baseImage(details: ImageDetails): StageImage {
  const { architecture, os, variant, config = {} } = details.config;
  const platform = { os, architecture, ...(variant && { variant }) };
  // What that was made on is nothing of this stage's.
  const { Image: _, ...kept } = config;
  const own: Config = withPath({ ...kept, OnBuild: null });
  const { id, layers } = details;
  return { id, layers, config: own, author: undefined, platform, baseLayers: layers.length };
}

function withPath(config: Config): Config {
  const env = config.Env ?? [];
  return env.some((entry) => entry.startsWith('PATH='))
    ? { ...config, Env: env }
    : { ...config, Env: [...env, defaultPath] };
}

/** Enters the image that a step gives. `timestamp` (ms): for builds that give the same image each time. */
export async function assembleStep(
  { images, clock }: Services,
  before: StageImage,
  change: Change,
  { timestamp, onId }: { readonly timestamp: number | undefined; readonly onId?: (id: string) => void },
): Promise<StageImage> {
  const { words, layer } = change;
  const author = change.author ?? before.author;
  const created = rfc3339(timestamp ?? clock.now());
  const layers = layer ? [...before.layers, layer] : before.layers;
  const step = {
    created,
    created_by: words.join(' '),
    ...(author && { author }),
    ...(layer === undefined && { empty_layer: true }),
  };
  const config = {
    ...before.platform,
    created,
    ...(author && { author }),
    // Docker's builder says what the step was done on.
    config: { ...change.config, Image: before.id },
    // Docker compares it when it looks for a step in its cache; so do we.
    container_config: { ...change.config, Image: before.id, Cmd: words },
    history: [...(await historyOf(images, before.id)), step],
  };
  const { id } = await images.assemble({
    config,
    layers,
    onId,
    ...(before.id !== '' && { parent: before.id as `sha256:${string}` }),
  });
  return { ...before, id, layers, config: change.config, author };
}

async function historyOf(images: Services['images'], id: string): Promise<History> {
  return id === '' ? [] : ((await images.details(id)).config.history ?? []);
}
