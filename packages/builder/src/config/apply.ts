import { constants } from 'node:os';
import { WherryError } from '@wherry/base';
import type { ImageConfig } from '@wherry/oci';
import type { CommandLine, ConfigInstruction, Pair } from '../dockerfile/instruction.ts';
import { formatHealthCheck, quoteGoList } from './go-format.ts';
import { exposedPorts } from './ports.ts';

/** What a container of the image runs as. */
export type Config = NonNullable<ImageConfig['config']>;

export interface Applied {
  readonly config: Config;
  /** For the history: `ENV A=b`. */
  readonly comment: string;
  /** Of `MAINTAINER`. */
  readonly author?: string;
}

export const defaultShell: readonly string[] = ['/bin/sh', '-c'];

export function shellOf(config: Config): readonly string[] {
  return config.Shell?.length ? config.Shell : defaultShell;
}

/** The words that run: exec form as it is, shell form by the stage's shell. */
export function resolveCommand(config: Config, { form, words }: CommandLine): readonly string[] {
  if (form === 'exec') return words;
  return [...shellOf(config), ...(words.length > 0 ? [words.join(' ')] : [])];
}

/**
 * Applies an instruction that changes the config alone, its variables replaced already. `commandSet`: a `CMD` of this
 * stage stands above it, which an `ENTRYPOINT` leaves alone. Throws `invalid` in dockerd's words.
 */
export function applyInstruction(config: Config, instruction: ConfigInstruction, commandSet: boolean): Applied {
  switch (instruction.name) {
    case 'ENV': {
      const comment = `ENV ${pairsText(instruction.pairs)}`;
      for (const { key, value } of instruction.pairs) {
        if (key === '') throw new WherryError('invalid', `invalid environment variable: =${value}`);
      }
      return { config: { ...config, Env: withVariables(config.Env ?? [], instruction.pairs) }, comment };
    }
    case 'LABEL': {
      const labels = Object.fromEntries(instruction.pairs.map(({ key, value }) => [key, value]));
      return {
        config: { ...config, Labels: { ...config.Labels, ...labels } },
        comment: `LABEL ${pairsText(instruction.pairs)}`,
      };
    }
    case 'MAINTAINER':
      return { config, comment: `MAINTAINER ${instruction.text}`, author: instruction.text };
    case 'CMD': {
      const command = resolveCommand(config, instruction.command);
      return { config: { ...config, Cmd: command }, comment: `CMD ${quoteGoList(command)}` };
    }
    case 'ENTRYPOINT': {
      const entrypoint = resolveCommand(config, instruction.command);
      const command = commandSet ? {} : { Cmd: null };
      const isEmpty = instruction.command.words.length === 0;
      const next = { ...config, ...command, Entrypoint: isEmpty ? null : entrypoint };
      return { config: next, comment: `ENTRYPOINT ${quoteGoList(isEmpty ? [] : entrypoint)}` };
    }
    case 'SHELL':
      return { config: { ...config, Shell: instruction.words }, comment: `SHELL [${instruction.words.join(' ')}]` };
    case 'EXPOSE': {
      const ports = Object.fromEntries(exposedPorts(instruction.ports).map((port) => [port, {}]));
      const next = { ...config, ExposedPorts: { ...config.ExposedPorts, ...ports } };
      return { config: next, comment: `EXPOSE ${instruction.ports.join(' ')}` };
    }
    case 'VOLUME': {
      if (instruction.paths.includes(''))
        throw new WherryError('invalid', 'VOLUME specified can not be an empty string');
      const volumes = Object.fromEntries(instruction.paths.map((path) => [path, {}]));
      const next = { ...config, Volumes: { ...config.Volumes, ...volumes } };
      return { config: next, comment: `VOLUME [${instruction.paths.join(' ')}]` };
    }
    case 'USER':
      return { config: { ...config, User: instruction.text }, comment: `USER ${instruction.text}` };
    case 'STOPSIGNAL':
      checkSignal(instruction.text);
      return { config: { ...config, StopSignal: instruction.text }, comment: `STOPSIGNAL ${instruction.text}` };
    case 'HEALTHCHECK': {
      const comment = `HEALTHCHECK ${formatHealthCheck(instruction.check)}`;
      return { config: { ...config, Healthcheck: instruction.check }, comment };
    }
    case 'ONBUILD': {
      const triggers = [...(config.OnBuild ?? []), instruction.trigger];
      return { config: { ...config, OnBuild: triggers }, comment: `ONBUILD ${instruction.trigger}` };
    }
  }
}

/** Where `WORKDIR text` leads from the directory before. */
export function workingDirectory(config: Config, text: string): string {
  if (text === '') throw new WherryError('invalid', 'cannot normalize nothing');
  const parts: string[] = [];
  for (const part of (text.startsWith('/') ? text : `${config.WorkingDir ?? ''}/${text}`).split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

function pairsText(pairs: readonly Pair[]): string {
  return pairs.map(({ key, value }) => `${key}=${value}`).join(' ');
}

function withVariables(env: readonly string[], pairs: readonly Pair[]): readonly string[] {
  const next = [...env];
  for (const { key, value } of pairs) {
    const at = next.findIndex((entry) => entry.split('=', 1)[0] === key);
    if (at < 0) next.push(`${key}=${value}`);
    else next[at] = `${key}=${value}`;
  }
  return next;
}

function checkSignal(text: string): void {
  const name = text.toUpperCase().replace(/^SIG/, '');
  const known = Object.hasOwn(constants.signals, `SIG${name}`) || /^RTM(?:IN(?:\+\d+)?|AX(?:-\d+)?)$/.test(name);
  const isNumber = /^[+-]?\d+$/.test(text) && Number(text) !== 0;
  if (!known && !isNumber) throw new WherryError('invalid', `invalid signal: ${text}`);
}
