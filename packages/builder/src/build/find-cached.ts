import { equalJson } from '@wherry/base';
import type { ImageDetails, ImageSummary } from '@wherry/images';
import { explainMiss } from '../cache/explain-miss.ts';
import { stepKey } from '../cache/step-cache.ts';
import type { Config } from '../config/apply.ts';
import type { Services } from '../services.ts';
import { assembleStep, type StageImage } from './stage-image.ts';

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

export type Probe = { readonly image: string } | { readonly image: undefined; readonly reason: string };

/** Looks for steps' images: in the cache, among local images by their parents, in those of `--cache-from`. */
export class CacheProbe {
  readonly #services: Services;
  readonly #noCache: boolean;
  readonly #sources: readonly string[];
  #targets: Promise<readonly ImageDetails[]> | undefined;
  #children: Promise<ReadonlyMap<string, readonly ImageSummary[]>> | undefined;

  constructor(services: Services, options: { readonly noCache: boolean; readonly cacheFrom: readonly string[] }) {
    this.#services = services;
    this.#noCache = options.noCache;
    this.#sources = options.cacheFrom;
  }

  get isOff(): boolean {
    return this.#noCache;
  }

  /** What a step is known by. */
  keyOf(before: StageImage, step: CacheStep): string {
    const { words, config, author, more } = step;
    return stepKey([before.id, before.platform, words, config, author ?? before.author ?? '', more ?? []]);
  }

  /** `key`: the step's. */
  async probe(before: StageImage, step: CacheStep, key: string): Promise<Probe> {
    const { cache, images } = this.#services;
    if (this.#noCache) return { image: undefined, reason: 'the cache is not used' };
    const record = cache.find(key);
    if (record && (await images.find(record.image)) && (await this.#mayUse(record.image))) {
      cache.used(key);
      return { image: record.image };
    }
    const local = step.more === undefined ? await this.#localImage(before, step) : undefined;
    if (local !== undefined && (await this.#mayUse(local))) return { image: local };
    const restored = await this.#restored(before, step);
    if (restored !== undefined) return { image: restored };
    if (record && this.#sources.length === 0) {
      cache.forget(key);
      return { image: undefined, reason: `its image was removed: ${record.image}` };
    }
    const files = step.files && Object.fromEntries(step.files);
    const missed = { ...step, parent: before.id, files, hasMounts: step.more !== undefined };
    const reason = record ? 'no image of --cache-from has it' : explainMiss(missed, cache.records());
    return { image: undefined, reason };
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

  /**
   * What an image of `--cache-from` had after this step, by its history: one that came from a registry has no parents
   * here. Docker's rule: the same history and layers up to here, then the same words.
   */
  async #restored(before: StageImage, step: CacheStep): Promise<string | undefined> {
    if (this.#sources.length === 0) return undefined;
    const { images } = this.#services;
    const known = before.id === '' ? [] : ((await images.details(before.id)).config.history ?? []);
    this.#targets ??= this.#findTargets();
    for (const { id, config, layers } of await this.#targets) {
      const history = config.history ?? [];
      const next = history[known.length];
      if (next?.created_by !== step.words.join(' ') || !equalJson(history.slice(0, known.length), known)) continue;
      if (before.layers.some(({ chainId }, index) => layers[index]?.chainId !== chainId)) continue;
      if (history.length === known.length + 1) return id;
      const layer = next.empty_layer ? undefined : layers[before.layers.length];
      if (layer === undefined && !next.empty_layer) continue;
      const timestamp = Date.parse(next.created ?? '');
      return (await assembleStep(this.#services, before, { ...step, layer }, { timestamp })).id;
    }
    return undefined;
  }

  async #findTargets(): Promise<readonly ImageDetails[]> {
    const { images } = this.#services;
    const found: ImageDetails[] = [];
    for (const source of this.#sources) {
      const image = await images.find(source).catch(() => undefined);
      if (image !== undefined) found.push(await images.details(image.id));
    }
    return found;
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
