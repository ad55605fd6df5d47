import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DisposalStack, WherryError } from '@wherry/base';
import type { CommittedLayer } from '@wherry/images';
import type { StepResources } from '../builder.ts';
import { resolveCommand, shellOf } from '../config/apply.ts';
import type { BuildArguments } from '../config/build-arguments.ts';
import type { RunInstruction } from '../dockerfile/instruction.ts';
import { parseMount, type RunMount } from '../run/run-mount.ts';
import { StepMounts } from '../run/step-mounts.ts';
import { volumeMounts } from '../run/volume-mounts.ts';
import type { RunStep as Command, StepMount, StepResult } from '../step-runner.ts';
import type { CacheStep } from './find-cached.ts';
import type { StageContext } from './stage-context.ts';
import { assembleStep, type StageImage, scratchImage } from './stage-image.ts';

/** What BuildKit asks whoever builds for: a Dockerfile alone gets neither the machine's network nor its privileges. */
function checkEntitlements({ network, security }: RunInstruction, networkMode: string): void {
  if (security === 'insecure') throw new WherryError('invalid', 'security.insecure is not allowed');
  if (network === 'host' && networkMode !== 'host') throw new WherryError('invalid', 'network.host is not allowed');
}

/** A RUN: its words are its identity, with the build arguments that it sees and the content that is mounted. */
export class RunStep implements AsyncDisposable {
  readonly #context: StageContext;
  readonly #instruction: RunInstruction;
  readonly #number: number;
  readonly #image: StageImage;
  readonly #arguments: BuildArguments;
  readonly #mounts: StepMounts;
  readonly #runMounts: readonly RunMount[];
  readonly #disposals: DisposalStack;

  /** `instruction` is expanded. Throws `invalid` for a mount that is none. */
  constructor(
    context: StageContext,
    instruction: RunInstruction,
    number: number,
    image: StageImage,
    buildArguments: BuildArguments,
  ) {
    this.#context = context;
    this.#instruction = instruction;
    this.#number = number;
    this.#image = image;
    this.#arguments = buildArguments;
    checkEntitlements(instruction, context.request.networkMode);
    const { WorkingDir = '/' } = image.config;
    this.#runMounts = instruction.mounts.map((mount) => parseMount(mount, WorkingDir));
    this.#mounts = new StepMounts(context, this.#runMounts);
    this.#disposals = new DisposalStack(context.services.log);
  }

  async describe(): Promise<CacheStep> {
    const { config } = this.#image;
    const command = this.#commandText();
    const environment = this.#arguments.environment(config.Env ?? []);
    const counted = environment.filter((entry) => this.#arguments.counts(entry.split('=', 1)[0]!));
    const named = environment.length > 0 ? [`|${counted.length}`, ...counted] : [];
    const { network, security, mounts } = this.#instruction;
    const flags = [
      ...mounts.map((options) => `--mount=${[...options].map(optionText).join(',')}`),
      ...(network === undefined ? [] : [`--network=${network}`]),
      ...(security === undefined ? [] : [`--security=${security}`]),
    ];
    const words = [...flags, ...named, ...command];
    const isPlain = this.#runMounts.length === 0;
    return { keyword: 'RUN', words, config, ...(!isPlain && { more: await this.#mounts.identity() }) };
  }

  /** Throws `invalid` in dockerd's words where the machine cannot give what the build asks for. */
  check(): void {
    const { services, request } = this.#context;
    if (request.resources !== undefined) services.checkResources(request.resources);
  }

  /** Runs the command; gives the layer, `undefined` where nothing changed. Throws when it fails, in docker's words. */
  async run(containerId: string): Promise<CommittedLayer | undefined> {
    const { services, signal, timestamp } = this.#context;
    const image = await this.#imageToRun();
    const { exitCode, layer } = await this.#mounts.within(async (mounts) =>
      services.runs.run(async () => {
        const taken = mounts.map(({ target }) => target);
        const volumes = await volumeMounts(this.#context, this.#image, taken);
        await using result = await this.#start(this.#request(containerId, image, [...volumes, ...mounts]));
        if (result.exitCode !== 0) return { exitCode: result.exitCode, layer: undefined };
        const { upperDirectory: upper } = result;
        const base = this.#image.layers;
        const layer = await services.images.commitLayer({ upper, base, adopt: true, timestamp, signal });
        return { exitCode: 0, layer };
      }),
    );
    if (exitCode === 0) return layer;
    const command = this.#commandText().join(' ');
    throw new WherryError('invalid', `The command '${command}' returned a non-zero code: ${exitCode}`, {
      details: { exitCode },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#mounts[Symbol.asyncDispose]();
    await this.#disposals[Symbol.asyncDispose]();
  }

  async #start(command: Command): Promise<StepResult> {
    try {
      return await this.#context.services.runner.run(command);
    } catch (error) {
      const reason = error instanceof WherryError ? error.details?.reason : undefined;
      if (typeof reason !== 'string') throw error;
      throw new WherryError('invalid', `${startFailed}: ${reason}: unknown`, { cause: error });
    }
  }

  #request(id: string, image: string, mounts: readonly StepMount[]): Command {
    const { request, signal, emit, workFolder } = this.#context;
    const { config } = this.#image;
    const { network } = this.#instruction;
    const env = config.Env ?? [];
    return {
      id,
      image,
      command: this.#command(),
      environment: [...env, ...this.#arguments.environment(env), ...this.#mounts.environment],
      user: config.User ?? '',
      workingDirectory: config.WorkingDir || '/',
      mounts: [...mounts, ...this.#scripts()],
      network: network === undefined || network === 'default' ? request.networkMode || 'default' : network,
      extraHosts: request.extraHosts,
      sharedMemoryBytes: request.sharedMemoryBytes,
      resources: request.resources && engineResources(request.resources),
      limits: request.limits ?? [],
      cgroupParent: request.cgroupParent,
      upperDirectory: join(workFolder(), 'upper'),
      onOutput: (stream, content) => emit({ type: 'output', number: this.#number, stream, content }),
      signal,
    };
  }

  /** Even an image without files needs one to run on. */
  async #imageToRun(): Promise<string> {
    if (this.#image.id !== '') return this.#image.id;
    const { services, timestamp, id } = this.#context;
    const empty = scratchImage(this.#image.platform);
    const onId = (image: string): void => services.used.add(id, image);
    return (await assembleStep(services, empty, { words: [], config: this.#image.config }, { timestamp, onId })).id;
  }

  /** For the history: here-documents stand in it as a shell would read them. */
  #commandText(): readonly string[] {
    const { command } = this.#instruction;
    const { heredocs } = command;
    if (command.form === 'exec' || heredocs.length === 0) return resolveCommand(this.#image.config, command);
    const line = command.words.join(' ');
    const only = heredocs.length === 1 && line.trim() === heredocs[0]!.word ? heredocs[0] : undefined;
    if (only) return [...shellOf(this.#image.config), only.content];
    const bodies = heredocs.map(({ content, name }) => `${content}${name}`);
    return [...shellOf(this.#image.config), [line, ...bodies].join('\n')];
  }

  #command(): readonly string[] {
    const script = this.#script();
    return script === undefined ? this.#commandText() : [scriptPath(script.name)];
  }

  /** A here-document alone that says what runs it: `#!/usr/bin/env python3`. */
  #script(): { readonly name: string; readonly content: string } | undefined {
    const { heredocs, words, form } = this.#instruction.command;
    const [only] = heredocs;
    if (form === 'exec' || heredocs.length !== 1 || words.join(' ').trim() !== only!.word) return undefined;
    return only!.content.startsWith('#!') ? only : undefined;
  }

  #scripts(): readonly StepMount[] {
    const script = this.#script();
    if (script === undefined) return [];
    // Not beneath /run, from which nothing may be executed on many machines.
    const folder = this.#context.workFolder();
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    const hostPath = join(folder, 'script');
    writeFileSync(hostPath, script.content, { mode: 0o755 });
    return [{ type: 'bind', hostPath, target: scriptPath(script.name), readOnly: true }];
  }
}

/** As dockerd, twice the memory where nothing is said of swap. */
function engineResources(given: StepResources): Command['resources'] {
  const { memoryBytes, memorySwapBytes, cpuQuota, cpuPeriod, cpuShares, cpusetCpus, cpusetMems } = given;
  const swap = memorySwapBytes === 0 ? memoryBytes * 2 : memorySwapBytes;
  return {
    memoryLimitBytes: memoryBytes || undefined,
    memorySwapLimitBytes: swap || undefined,
    cpuQuota: cpuQuota || undefined,
    cpuPeriod: cpuPeriod || undefined,
    cpuShares: cpuShares || undefined,
    cpusetCpus: cpusetCpus || undefined,
    cpusetMems: cpusetMems || undefined,
  };
}

/** Dockerd's words before what its runtime says. */
const startFailed =
  'failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process';

function scriptPath(name: string): string {
  return `/dev/pipes/${/^[\w.-]+$/.test(name) ? name : 'script'}`;
}

function optionText([key, value]: readonly [string, string | undefined]): string {
  return value === undefined ? key : `${key}=${value}`;
}
