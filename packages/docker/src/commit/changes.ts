import { WherryError } from '@wherry/base';
import { parsePort, portKey } from '../config/ports.ts';
import { parseSignal } from '../config/signals.ts';
import type { ContainerConfig, HealthConfig } from '../config/types.ts';

/** Instructions that `docker commit -c` and `docker import -c` take. */
const allowed = new Set(
  'CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR'.split(' '),
);

/** Those that may stand alone: they take a command back. */
const emptyAllowed = new Set(['CMD', 'ENTRYPOINT']);

/** Applies Dockerfile instructions to a config, one a line. Throws dockerd's words. */
export function applyChanges(config: ContainerConfig, changes: readonly string[]): ContainerConfig {
  const next = structuredClone(config);
  for (const line of changes.flatMap((change) => change.split('\n'))) {
    const text = line.trim();
    if (text === '' || text.startsWith('#')) continue;
    const [, word = '', rest = ''] = /^(\S+)\s*([\s\S]*)$/.exec(text) ?? [];
    const name = word.toUpperCase();
    if (!allowed.has(name)) throw new WherryError('invalid', `${word} is not a valid change command`);
    if (rest === '' && !emptyAllowed.has(name)) {
      const count = name === 'WORKDIR' || name === 'USER' ? 'exactly one argument' : 'at least one argument';
      throw new WherryError('invalid', `${name} requires ${count}`);
    }
    apply(next, name, rest);
  }
  return next;
}

function apply(config: ContainerConfig, name: string, rest: string): void {
  switch (name) {
    case 'CMD':
      config.Cmd = commandOf(config, rest);
      return;
    case 'ENTRYPOINT':
      config.Entrypoint = commandOf(config, rest);
      return;
    case 'ENV':
      for (const [key, value] of pairsOf(rest, 'ENV'))
        config.Env = [...(config.Env ?? []).filter((item) => !item.startsWith(`${key}=`)), `${key}=${value}`];
      return;
    case 'LABEL':
      config.Labels = { ...config.Labels, ...Object.fromEntries(pairsOf(rest, 'LABEL')) };
      return;
    case 'EXPOSE':
      for (const port of rest.split(/\s+/))
        config.ExposedPorts = { ...config.ExposedPorts, [portKey(exposedPort(port))]: {} };
      return;
    case 'VOLUME':
      for (const path of listOf(rest) ?? wordsOf(rest)) config.Volumes = { ...config.Volumes, [path]: {} };
      return;
    case 'USER':
      config.User = rest;
      return;
    case 'WORKDIR':
      config.WorkingDir = rest.startsWith('/') ? rest : `${config.WorkingDir.replace(/\/$/, '')}/${rest}`;
      return;
    case 'STOPSIGNAL':
      parseSignal(rest);
      config.StopSignal = rest;
      return;
    case 'ONBUILD':
      config.OnBuild = [...(config.OnBuild ?? []), rest];
      return;
    default:
      config.Healthcheck = healthOf(rest);
  }
}

function exposedPort(text: string): ReturnType<typeof parsePort> {
  try {
    return parsePort(text);
  } catch (error) {
    throw new WherryError('invalid', `Invalid containerPort: ${text}`, { cause: error });
  }
}

/** A list in JSON; `undefined` for the shell form. */
function listOf(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
  } catch {
    return undefined;
  }
}

function commandOf(config: ContainerConfig, text: string): string[] | null {
  if (text === '') return null;
  return listOf(text) ?? [...(config.Shell ?? ['/bin/sh', '-c']), text];
}

/** Words with quotes and backslashes taken away, as the Dockerfile's. */
function wordsOf(text: string): string[] {
  const words = text.match(/(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+/g) ?? [];
  return words.map((word) =>
    word.replace(/"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/g, (_, double?: string, single?: string, escaped?: string) =>
      double !== undefined ? double.replace(/\\(["\\$])/g, '$1') : (single ?? escaped ?? ''),
    ),
  );
}

/** `K=V K2=V2`, or `K V`. */
function pairsOf(text: string, name: string): [string, string][] {
  const words = wordsOf(text);
  if (!(words[0] ?? '').includes('=')) {
    const [, key = '', value] = /^(\S+)\s+([\s\S]*)$/.exec(text) ?? [];
    if (value === undefined) throw new WherryError('invalid', `${name} must have two arguments`);
    return [[key, value]];
  }
  return words.map((word) => {
    const at = word.indexOf('=');
    if (at < 0)
      throw new WherryError(
        'invalid',
        `Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`,
      );
    if (at === 0) throw new WherryError('invalid', `${name} names can not be blank`);
    return [word.slice(0, at), word.slice(at + 1)];
  });
}

const nanoseconds: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

function healthOf(text: string): HealthConfig {
  const health: HealthConfig = {};
  let rest = text;
  for (let flag = nextFlag(rest); flag; flag = nextFlag(rest)) {
    const [whole, name = '', value = ''] = flag;
    rest = rest.slice(whole.length);
    if (name === 'retries') health.Retries = Number(value);
    else {
      const field = {
        interval: 'Interval',
        timeout: 'Timeout',
        'start-period': 'StartPeriod',
        'start-interval': 'StartInterval',
      }[name];
      if (field === undefined) throw new WherryError('invalid', `unknown flag: ${name}`);
      health[field as 'Interval'] = durationOf(value);
    }
  }
  const [, kind = '', command = ''] = /^(\S+)\s*([\s\S]*)$/.exec(rest) ?? [];
  if (kind.toUpperCase() === 'NONE') return { Test: ['NONE'] };
  if (kind.toUpperCase() !== 'CMD')
    throw new WherryError('invalid', `Unknown type ${JSON.stringify(kind.toUpperCase())} in HEALTHCHECK (try CMD)`);
  const list = listOf(command);
  return { Test: list === undefined ? ['CMD-SHELL', command] : ['CMD', ...list], ...health };
}

const nextFlag = (text: string): RegExpExecArray | null => /^--([a-z-]+)=(\S+)\s*/.exec(text);

function durationOf(text: string): number {
  if (!/^(?:[0-9.]+(?:ns|us|ms|s|m|h))+$/.test(text))
    throw new WherryError('invalid', `time: invalid duration ${JSON.stringify(text)}`);
  return [...text.matchAll(/([0-9.]+)(ns|us|ms|s|m|h)/g)].reduce(
    (sum, [, value, unit]) => sum + Number(value) * (nanoseconds[unit as string] as number),
    0,
  );
}
