import { join } from 'node:path';
import { codeOf, type Deferred, deferred, messageOf, WherryError } from '@wherry/base';
import type { LayerRecord } from '@wherry/images';
import { type Platform, parsePlatform } from '@wherry/oci';
import type { BuildEvent, BuildRequest } from '../builder.ts';
import { BuildArguments } from '../config/build-arguments.ts';
import { expandInstruction } from '../config/expand-instruction.ts';
import { expandWord } from '../dockerfile/expand.ts';
import { type Dockerfile, parseDockerfile } from '../dockerfile/parse.ts';
import type { TreeSpec } from '../files/tree-spec.ts';
import type { Services } from '../services.ts';
import { resolveImage } from './base-image.ts';
import { CacheProbe } from './find-cached.ts';
import { OrderedEvents } from './ordered-events.ts';
import { findStage, isNamedTwice, type Plan, planBuild } from './plan.ts';
import { platformArguments } from './platforms.ts';
import { StageBuild } from './stage-build.ts';
import type { StageContext } from './stage-context.ts';
import { baseImage, type StageImage, scratchImage } from './stage-image.ts';

/** One build: its stages, each begun once, as soon as the target is known to need it. */
export class Build {
  readonly #services: Services;
  readonly #request: BuildRequest;
  readonly #id: string;
  readonly #plan: Plan;
  readonly #arguments: BuildArguments;
  readonly #events: OrderedEvents;
  readonly #probe: CacheProbe;
  readonly #stages = new Map<number, Deferred<StageImage>>();
  readonly #aborts = new Map<number, AbortController>();
  readonly #context: TreeSpec;
  #folders = 0;
  #made: Promise<void> | undefined;

  /** Reads the Dockerfile. Throws `invalid` in dockerd's words; nothing is made yet. */
  constructor(services: Services, request: BuildRequest, id: string) {
    this.#services = services;
    this.#request = request;
    this.#id = id;
    const platform = request.platform ?? services.platform;
    const dockerfile = parseDockerfile(request.dockerfile, request.dockerfileName || 'Dockerfile');
    const first = BuildArguments.create(
      request.buildArguments,
      platformArguments(services.platform, platform, request.target),
    );
    this.#arguments = nameGlobals(first, dockerfile);
    this.#plan = planBuild(dockerfile, request, this.#arguments);
    this.#events = new OrderedEvents(request.onProgress);
    this.#probe = new CacheProbe(services, request);
    const { context, dockerfileName, ignoredBy } = request;
    this.#context = { kind: 'context', context, dockerfileName, ignoredBy };
  }

  /** It wrote below its folders, or held layers. */
  get hasFolders(): boolean {
    return this.#made !== undefined || this.#folders > 0;
  }

  async run(): Promise<{ readonly imageId: string; readonly baseLayers: number }> {
    const { dockerfile, needed, target, total } = this.#plan;
    for (const warning of dockerfile.warnings) {
      const content = Buffer.from(`[WARNING]: ${warning}\n`);
      this.#request.onProgress({ type: 'output', number: 0, stream: 'stderr', content });
    }
    for (const [index, { code }] of dockerfile.globals.entries()) {
      this.#request.onProgress({ type: 'step', number: index + 1, total, instruction: code, stage: 0 });
    }
    if (target < 0) throw new WherryError('invalid', 'No image was generated. Is your Dockerfile empty?');
    for (const stage of needed) this.#events.open(stage);
    const results = await Promise.allSettled(needed.map((stage) => this.#stage(stage)));
    // As if they were done in the order of the file: the first failure is the one that counts.
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    if (failures.length > 0) throw failures.find((error) => codeOf(error) !== 'cancelled') ?? failures[0];
    const unused = this.#arguments.unused();
    if (unused.length > 0) {
      const message = `One or more build-args [${unused.join(' ')}] were not consumed`;
      this.#request.onProgress({ type: 'warning', message });
    }
    const { id, baseLayers } = await this.#stage(target);
    if (id === '') throw new WherryError('invalid', 'No image was generated. Is your Dockerfile empty?');
    return { imageId: id, baseLayers };
  }

  /** The image of a stage, which is begun when somebody first asks for it. */
  async #stage(index: number): Promise<StageImage> {
    const known = this.#stages.get(index);
    if (known) return await known.promise;
    const result = deferred<StageImage>();
    result.promise.catch(() => undefined);
    this.#stages.set(index, result);
    this.#events.open(index);
    const abort = new AbortController();
    this.#aborts.set(index, abort);
    const forward = (): void => abort.abort(this.#request.signal.reason);
    this.#request.signal.addEventListener('abort', forward, { once: true });
    if (this.#request.signal.aborted) forward();
    try {
      result.resolve(await this.#buildStage(index, abort.signal));
    } catch (error) {
      this.#events.fail(index);
      result.reject(error);
      for (const [later, other] of this.#aborts) if (later > index) other.abort(error);
    } finally {
      this.#request.signal.removeEventListener('abort', forward);
      this.#events.close(index);
    }
    return await result.promise;
  }

  async #buildStage(index: number, signal: AbortSignal): Promise<StageImage> {
    const { stages, firstStep, total } = this.#plan;
    const { from, instructions } = stages[index]!;
    const emit = (event: BuildEvent) => this.#events.push(index, event);
    const number = firstStep[index]!;
    await emit({ type: 'step', number, total, instruction: from.code, stage: index });
    const { image, triggers } = await this.#from(index, emit, signal);
    const context = this.#stageContext(index, image.platform, emit, signal);
    const build = new StageBuild(context, image, this.#arguments.forStage(), number);
    await build.begin(triggers);
    if (isNamedTwice(stages, index)) throw new WherryError('invalid', `${from.alias} stage name already used`);
    for (const [offset, instruction] of instructions.entries()) {
      const step = number + offset + 1;
      await emit({ type: 'step', number: step, total, instruction: instruction.code, stage: index });
      await build.step(instruction, step);
    }
    await emit({ type: 'stage', stage: index, imageId: build.image.id });
    return build.image;
  }

  async #from(
    index: number,
    emit: (event: BuildEvent) => void,
    signal: AbortSignal,
  ): Promise<{ readonly image: StageImage; readonly triggers: readonly string[] }> {
    const { stages, dockerfile } = this.#plan;
    const { from } = stages[index]!;
    const { escapeToken } = dockerfile;
    const options = { escapeToken, variable: (name: string) => this.#arguments.global(name) };
    const name = expandWord(from.base, options);
    if (name === '') throw new WherryError('invalid', `base name (${from.base}) should not be blank`);
    const written = from.platform === undefined ? undefined : expandWord(from.platform, options);
    const platform = written === undefined ? this.#request.platform : platformNamed(written);
    const earlier = findStage(stages, name, index, { byNumber: false });
    if (earlier !== undefined) {
      const image = await this.#stage(earlier);
      const triggers = image.config.OnBuild ?? [];
      const config = { ...image.config, OnBuild: null };
      return { image: { ...image, config, author: undefined, baseLayers: image.layers.length }, triggers };
    }
    if (name === 'scratch') return { image: scratchImage(platform ?? this.#services.platform), triggers: [] };
    const details = await resolveImage(this.#services, { ...this.#request, signal }, name, platform, emit);
    return { image: baseImage(details), triggers: details.config.config?.OnBuild ?? [] };
  }

  #stageContext(stage: number, platform: Platform, emit: StageContext['emit'], signal: AbortSignal): StageContext {
    const { paths } = this.#services;
    const epoch = this.#request.buildArguments.SOURCE_DATE_EPOCH;
    return {
      services: this.#services,
      request: this.#request,
      probe: this.#probe,
      id: this.#id,
      stage,
      escapeToken: this.#plan.dockerfile.escapeToken,
      context: this.#context,
      timestamp: epoch && /^\d{1,12}$/.test(epoch) ? Number(epoch) * 1000 : undefined,
      imageFrom: (reference) => this.#imageFrom(reference, stage, platform, emit, signal),
      signal,
      emit,
      workFolder: () => join(paths.work(this.#id), `${++this.#folders}`),
      mountPoint: () => join(paths.run(this.#id), `${++this.#folders}`),
      hold: (layers) => this.#hold(layers),
    };
  }

  async #imageFrom(
    reference: string,
    stage: number,
    platform: Platform,
    emit: (event: BuildEvent) => void,
    signal: AbortSignal,
  ): Promise<Pick<StageImage, 'id' | 'layers'>> {
    const earlier = findStage(this.#plan.stages, reference, stage, { byNumber: true });
    if (earlier !== undefined) return await this.#stage(earlier);
    const request = { ...this.#request, signal };
    const { id, layers } = await resolveImage(this.#services, request, reference, platform, emit);
    this.#services.used.add(this.#id, id);
    return { id, layers };
  }

  /** One owner for each stack of layers: a hold keeps those of one image. */
  async #hold(layers: readonly LayerRecord[]): Promise<readonly string[]> {
    const owner = `build-${this.#id}-${layers.at(-1)?.chainId.slice(7, 31) ?? 'empty'}`;
    this.#made ??= this.#services.paths.make(this.#id);
    await this.#made;
    await this.#services.paths.noteHold(this.#id, owner);
    return await this.#services.images.holdLayers(owner, layers);
  }
}

function nameGlobals(args: BuildArguments, { globals, escapeToken }: Dockerfile): BuildArguments {
  for (const global of globals) {
    const variable = (name: string): string | undefined => args.get(name) ?? args.global(name);
    args.name(expandInstruction(global, { escapeToken, variable }).pairs);
  }
  return args.forStage();
}

/** Throws `invalid`. */
function platformNamed(text: string): Platform {
  try {
    return parsePlatform(text);
  } catch (error) {
    throw new WherryError('invalid', `failed to parse platform ${text}: ${messageOf(error)}`, { cause: error });
  }
}
