import { codeOf, throwIfAborted, WherryError } from '@wherry/base';
import type { CommittedLayer } from '@wherry/images';
import { applyInstruction, shellOf, workingDirectory } from '../config/apply.ts';
import type { BuildArguments } from '../config/build-arguments.ts';
import { expandInstruction } from '../config/expand-instruction.ts';
import type {
  ConfigInstruction,
  CopyInstruction,
  RunInstruction,
  StageInstruction,
} from '../dockerfile/instruction.ts';
import { parseSingle } from '../dockerfile/parse.ts';
import { Destination } from '../files/destination.ts';
import { mountWritable } from '../run/layer-mounts.ts';
import { CopyStep } from './copy-step.ts';
import type { CacheStep } from './find-cached.ts';
import { RunStep } from './run-step.ts';
import type { StageContext } from './stage-context.ts';
import { assembleStep, type StageImage } from './stage-image.ts';

/** Does the instructions of one stage, one after the other. */
export class StageBuild {
  readonly #context: StageContext;
  readonly #arguments: BuildArguments;
  #image: StageImage;
  #commandSet = false;
  /** The first step that was not cached. */
  #missed: number | undefined;
  #number: number;

  constructor(context: StageContext, image: StageImage, buildArguments: BuildArguments, number: number) {
    this.#context = context;
    this.#image = image;
    this.#use(image.id);
    this.#arguments = buildArguments;
    this.#number = number;
  }

  get image(): StageImage {
    return this.#image;
  }

  /** The `FROM`: what the base image wants done with it. */
  async begin(triggers: readonly string[]): Promise<void> {
    if (triggers.length > 0) {
      await this.#context.emit({ type: 'triggers', number: this.#number, count: triggers.length });
      for (const trigger of triggers) await this.#do(triggerInstruction(trigger, this.#context.escapeToken));
    }
    await this.#done();
  }

  async step(instruction: StageInstruction, number: number): Promise<void> {
    this.#number = number;
    throwIfAborted(this.#context.signal);
    await this.#do(instruction);
    await this.#done();
  }

  async #done(): Promise<void> {
    await this.#context.emit({ type: 'done', number: this.#number, imageId: this.#image.id });
  }

  async #do(written: StageInstruction): Promise<void> {
    const env = new Map((this.#image.config.Env ?? []).map(splitVariable));
    const variable = (name: string): string | undefined => env.get(name) ?? this.#arguments.get(name);
    const instruction = expandInstruction(written, { escapeToken: this.#context.escapeToken, variable });
    if (instruction.name === 'ARG') {
      this.#arguments.name(instruction.pairs);
      const pairs = instruction.pairs.map(({ key, value }) => (value === undefined ? key : `${key}=${value}`));
      await this.#commit('ARG', { config: this.#image.config, comment: `ARG ${pairs.join(' ')}` });
    } else if (instruction.name === 'RUN') await this.#run(instruction);
    else if (isCopy(instruction)) await this.#copy(instruction);
    else if (instruction.name === 'WORKDIR') await this.#workdir(instruction.text);
    else await this.#configure(instruction);
  }

  async #configure(instruction: ConfigInstruction): Promise<void> {
    const old = (this.#image.config.Healthcheck as { Test?: readonly string[] } | undefined)?.Test ?? [];
    if (instruction.name === 'HEALTHCHECK' && old.length > 0 && old[0] !== 'NONE') {
      const content = Buffer.from(`Note: overriding previous HEALTHCHECK: [${old.join(' ')}]\n`);
      await this.#context.emit({ type: 'output', number: this.#number, stream: 'stdout', content });
    }
    const applied = applyInstruction(this.#image.config, instruction, this.#commandSet);
    await this.#commit(instruction.name, applied);
    if (instruction.name === 'CMD' && instruction.command.words.length > 0) this.#commandSet = true;
  }

  /** A step without files. */
  async #commit(
    keyword: string,
    { config, comment, author }: { config: StageImage['config']; comment: string; author?: string },
  ): Promise<void> {
    const words = [...shellOf(config), '#(nop) ', comment];
    await this.#cachedOr({ keyword, words, config, author }, async () => undefined);
  }

  async #workdir(text: string): Promise<void> {
    const path = workingDirectory(this.#image.config, text);
    const config = { ...this.#image.config, WorkingDir: path };
    const words = [...shellOf(config), `#(nop) WORKDIR ${path}`];
    await this.#cachedOr({ keyword: 'WORKDIR', words, config }, () => this.#makeFolder(path), {
      isLate: true,
    });
  }

  async #makeFolder(path: string): Promise<CommittedLayer | undefined> {
    if (path.includes('\0')) throw new WherryError('invalid', `lstat ${path}: invalid argument`);
    const { services, hold, workFolder, mountPoint, timestamp, signal } = this.#context;
    const base = this.#image.layers;
    const folders = await hold(base);
    await using mounted = await mountWritable(base.length > 0 ? folders : [], workFolder(), mountPoint());
    const destination = new Destination(mounted.root);
    const isThere = destination.isFolder(path);
    if (destination.isTaken(path)) throw new WherryError('internal', `Cannot mkdir: ${path} is not a directory`);
    if (!isThere) makeFolder(destination, path);
    await mounted.unmount();
    if (isThere) return undefined;
    return await services.images.commitLayer({ upper: mounted.upper, base, adopt: true, timestamp, signal });
  }

  async #copy(instruction: CopyInstruction): Promise<void> {
    await using step = new CopyStep(this.#context, instruction, this.#number, this.#image);
    await this.#cachedOr(await step.describe(), () => step.run(), { isSilent: true });
  }

  async #run(instruction: RunInstruction): Promise<void> {
    await using step = new RunStep(this.#context, instruction, this.#number, this.#image, this.#arguments);
    await this.#cachedOr(await step.describe(), (containerId) => step.run(containerId), {
      check: () => step.check(),
    });
  }

  #use(image: string): void {
    this.#context.services.used.add(this.#context.id, image);
  }

  /** What stands on a new image cannot have been built before. */
  #reason(own: string): string {
    const isOwn = this.#missed === undefined || this.#context.probe.isOff;
    return isOwn ? own : `parent changed: step ${this.#missed} was not cached`;
  }

  /** Takes a step's image from the cache, or makes it. */
  async #cachedOr(
    step: CacheStep,
    make: (containerId: string) => Promise<CommittedLayer | undefined>,
    options: MakeOptions = {},
  ): Promise<void> {
    const { services, probe } = this.#context;
    const key = probe.keyOf(this.#image, step);
    const work = (): Promise<void> => this.#cachedOrLocked(key, step, make, options);
    if (probe.isOff) await work();
    else await services.steps.run(key, work);
  }

  async #cachedOrLocked(
    key: string,
    step: CacheStep,
    make: (containerId: string) => Promise<CommittedLayer | undefined>,
    { isSilent = false, isLate = false, check }: MakeOptions,
  ): Promise<void> {
    const { services, probe, emit, signal } = this.#context;
    throwIfAborted(signal);
    const number = this.#number;
    const found = await probe.probe(this.#image, step, key);
    if (found.image !== undefined) {
      this.#use(found.image);
      const record = await services.images.find(found.image);
      if (record !== undefined) {
        await emit({ type: 'cached', number, imageId: found.image });
        const author = step.author ?? this.#image.author;
        this.#image = { ...this.#image, id: found.image, layers: record.layers, config: step.config, author };
        return;
      }
    } else await emit({ type: 'miss', number, reason: this.#reason(found.reason) });
    this.#missed ??= number;
    check?.();
    await this.#context.hold(this.#image.layers);
    const containerId = services.random.hex(64);
    const tellRunning = (): unknown => emit({ type: 'running', number, containerId });
    if (!isSilent && !isLate) await tellRunning();
    const before = this.#image;
    using layer = await make(containerId);
    if (isLate) await tellRunning();
    const kept = layer && { digest: layer.digest, size: layer.size, diffId: layer.diffId, chainId: layer.chainId };
    this.#image = await assembleStep(
      services,
      before,
      { ...step, layer: kept },
      { timestamp: this.#context.timestamp, onId: (id) => this.#use(id) },
    );
    const { keyword, words, files } = step;
    const image = this.#image.id;
    services.cache.add(key, {
      parent: before.id,
      keyword,
      words,
      image,
      files: files && Object.fromEntries(files),
    });
    if (!isSilent) await emit({ type: 'removed', number, containerId });
  }
}

interface MakeOptions {
  /** No container is told of. */
  readonly isSilent?: boolean;
  /** Of its container is told once it is done: what cannot be done fails before there is one. */
  readonly isLate?: boolean;
  /** Throws where the step cannot be done, before anything is told of it. */
  readonly check?: () => void;
}

function isCopy(instruction: StageInstruction): instruction is CopyInstruction {
  return instruction.name === 'COPY' || instruction.name === 'ADD';
}

function splitVariable(entry: string): readonly [string, string] {
  const equals = entry.indexOf('=');
  return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)];
}

function triggerInstruction(trigger: string, escapeToken: string): StageInstruction {
  try {
    const instruction = parseSingle(trigger, escapeToken);
    if (instruction.name !== 'FROM') return instruction;
  } catch (error) {
    if (codeOf(error) !== 'invalid') throw error;
    throw new WherryError('invalid', (error as Error).message, { cause: error });
  }
  throw new WherryError('invalid', "FROM isn't allowed as an ONBUILD trigger");
}

/** Throws `invalid` below a file. */
function makeFolder(destination: Destination, path: string): void {
  try {
    destination.folder(path, { uid: 0, gid: 0 });
  } catch (error) {
    if (codeOf(error) !== 'invalid') throw error;
    throw new WherryError('invalid', `lstat ${path}: not a directory`, { cause: error });
  }
}
