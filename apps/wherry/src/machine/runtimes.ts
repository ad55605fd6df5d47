import { isAbsolute } from 'node:path';
import { WherryError } from '@wherry/base';
import { builtInRuntime, type RegisteredRuntime } from '@wherry/engine';
import { findProgram } from '@wherry/linux';
import type { ClusterConfig } from './cluster-config.ts';

/** Taken without being registered where it is installed: under this name docker's users know it. */
const usual: RegisteredRuntime = { name: 'runc', path: 'runc', args: [] };

/** The OCI runtimes of a machine by name, the default one first. */
export function runtimesOf({ runtimes = [] }: Pick<ClusterConfig, 'runtimes'>): readonly RegisteredRuntime[] {
  const registered = new Map(
    [builtInRuntime, ...(isInstalled(usual) ? [usual] : []), ...runtimes].map((entry) => [entry.name, entry]),
  );
  return [...registered.values()];
}

function isInstalled({ path }: RegisteredRuntime): boolean {
  try {
    findProgram(path);
    return true;
  } catch {
    return false;
  }
}

/** `NAME=PATH`, and arguments for each call after blanks: `kata=/usr/bin/kata-runtime --debug`. Throws `invalid`. */
export function parseRuntime(text: string): RegisteredRuntime {
  const [, name = '', command = ''] = /^([^=]*)=(.*)$/.exec(text) ?? [];
  const [path = '', ...args] = command.trim().split(/\s+/);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(name)) throw new WherryError('invalid', 'it has to be NAME=PATH');
  if (name === builtInRuntime.name) throw new WherryError('invalid', `runtime name '${name}' is reserved`);
  if (!isAbsolute(path)) throw new WherryError('invalid', `the path of runtime ${name} has to be absolute`);
  if (!isInstalled({ name, path, args })) throw new WherryError('invalid', `there is no program ${path}`);
  return { name, path, args };
}
