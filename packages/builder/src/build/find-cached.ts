import { equalJson } from '@wherry/base';
import type { ImageSummary } from '@wherry/images';
import { explainMiss } from '../cache/explain-miss.ts';
import { stepKey } from '../cache/step-cache.ts';
import type { Config } from '../config/apply.ts';
import type { Services } from '../services.ts';
import type { StageImage } from './stage-image.ts';

/** A step, as the cache knows it. */
export interface CacheStep {
  readonly keyword: string;
  readonly words: readonly string[];
  readonly config: Config;
  readonly author?: string | undefined;
  /** What it depends on beside its words: mounts. Images of other engines are not asked for such steps. */
  readonly more?: readonly unknown[] | undefined;
  readonly files?: ReadonlyMap<string, string> | undefined;
}

export type Probe =
  | { readonly key: string; readonly image: string }
  | { readonly key: string; readonly image: undefined; readonly reason: string };

/** Looks for steps' images: in the cache, among local images by their parents, in those of `--cache-from`. */
export class CacheProbe {
  readonly #services: Services;
  readonly #noCache: boolean;
  readonly #sources: readonly string[];
  #children: Promise<ReadonlyMap<string, readonly ImageSummary[]>> | undefined;

  constructor(services: Services, options: { readonly noCache: boolean; readonly cacheFrom: readonly string[] }) {
    this.#services = services;
    this.#noCache = options.noCache;
    this.#sources = options.cacheFrom;
  }

  get isOff(): boolean {
    return this.#noCache;
  }

  keyOf(before: StageImage, step: CacheStep): string {
    const { words, config, author, more } = step;
    return stepKey([before.id, before.platform, words, config, author ?? before.author ?? '', more ?? []]);
  }

  async probe(before: StageImage, step: CacheStep): Promise<Probe> {
    const { cache, images } = this.#services;
    const key = this.keyOf(before, step);
    if (this.#noCache) return { key, image: undefined, reason: 'the cache is not used' };
    const record = cache.find(key);
    if (record && (await images.find(record.image)) && (await this.#mayUse(record.image))) {
      cache.used(key);
      return { key, image: record.image };
    }
    const local = step.more === undefined ? await this.#localImage(before, step) : undefined;
    if (local !== undefined && (await this.#mayUse(local))) return { key, image: local };
    if (record && this.#sources.length === 0) {
      cache.forget(key);
      return { key, image: undefined, reason: `its image was removed: ${record.image}` };
    }
    const files = step.files && Object.fromEntries(step.files);
    const missed = { ...step, parent: before.id, files, hasMounts: step.more !== undefined };
    const reason = record ? 'no image of --cache-from has it' : explainMiss(missed, cache.records());
    return { key, image: undefined, reason };
  }

  /** Docker's rule: a child of the same parent whose container had the same config; the youngest. */
  async #localImage(before: StageImage, step: CacheStep): Promise<string | undefined> {
    if (before.id === '') return undefined;
    this.#children ??= childrenOf(await this.#services.images.summaries());
    for (const { id } of (await this.#children).get(before.id) ?? []) {
      const { rawConfig } = await this.#services.images.details(id).catch(() => ({ rawConfig: undefined }));
      const made = rawConfig?.container_config as (Config & { Cmd?: readonly string[] | null }) | undefined;
      if (made && equalJson(made.Cmd ?? [], step.words) && sameConfig(made, step.config)) return id;
    }
    return undefined;
  }

  /** With `--cache-from`, only what those images were made of. */
  async #mayUse(image: string): Promise<boolean> {
    if (this.#sources.length === 0) return true;
    const { images } = this.#services;
    for (const source of this.#sources) {
      let id = (await images.find(source).catch(() => undefined))?.id as string | undefined;
      for (let depth = 0; id !== undefined && depth < 1000; depth++) {
        if (id === image) return true;
        id = (await images.details(id).catch(() => undefined))?.parent;
      }
    }
    return false;
  }
}

async function childrenOf(summaries: readonly ImageSummary[]): Promise<ReadonlyMap<string, readonly ImageSummary[]>> {
  const children = new Map<string, ImageSummary[]>();
  for (const summary of summaries) {
    if (summary.parent === undefined) continue;
    const siblings = children.get(summary.parent);
    if (siblings) siblings.push(summary);
    else children.set(summary.parent, [summary]);
  }
  return children;
}

/** The fields that docker compares beside the command. */
function sameConfig(one: Config, other: Config): boolean {
  const fields = ['Env', 'Labels', 'ExposedPorts', 'Entrypoint', 'Volumes', 'User', 'WorkingDir'] as const;
  return fields.every((field) => equalJson(one[field] || null, other[field] || null));
}
