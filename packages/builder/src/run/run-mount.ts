import { posix } from 'node:path';
import { WherryError } from '@wherry/base';
import type { MountOptions } from '../dockerfile/instruction.ts';
import type { Sharing } from './cache-mounts.ts';

export interface BindMount {
  readonly type: 'bind';
  readonly from: string | undefined;
  readonly source: string;
  readonly target: string;
  readonly isWritable: boolean;
}

export interface CacheMount {
  readonly type: 'cache';
  readonly id: string;
  readonly from: string | undefined;
  readonly source: string;
  readonly target: string;
  readonly sharing: Sharing;
  readonly readOnly: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface SecretMount {
  readonly type: 'secret';
  readonly id: string;
  readonly target: string | undefined;
  /** Name of a variable that holds it. */
  readonly variable: string | undefined;
  readonly isRequired: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface TmpfsMount {
  readonly type: 'tmpfs';
  readonly target: string;
  readonly sizeBytes: number | undefined;
}

export type RunMount = BindMount | CacheMount | SecretMount | TmpfsMount;

/** Fields that need no value. */
const flags: ReadonlySet<string> = new Set(['ro', 'readonly', 'rw', 'readwrite', 'required']);

/** Reads `RUN --mount=` (Dockerfile reference). Throws `invalid`, `unsupported` for SSH agents. */
export function parseMount(options: MountOptions, workingDirectory: string): RunMount {
  for (const [name, value] of options) {
    if (value === undefined && !flags.has(name))
      throw new WherryError('invalid', `invalid field '${name}' must be a key=value pair`);
  }
  const reader = new OptionReader(options);
  const type = reader.text('type') ?? 'bind';
  const within = (path: string): string => (path.startsWith('/') ? path : posix.join('/', workingDirectory, path));
  const target = reader.text('target', 'dst', 'destination');
  const required = (): string => {
    if (target) return within(target);
    throw new WherryError('invalid', `${type} mounts need a target`);
  };
  const mount = readMount(type, reader, target === undefined ? undefined : within(target), required);
  reader.end(type);
  return mount;
}

function readMount(type: string, reader: OptionReader, target: string | undefined, required: () => string): RunMount {
  const from = reader.text('from');
  switch (type) {
    case 'bind': {
      const isWritable = reader.flag('rw', 'readwrite') === true || reader.flag('ro', 'readonly') === false;
      return { type, from, source: reader.text('source', 'src') ?? '', target: required(), isWritable };
    }
    case 'cache': {
      const sharing = reader.text('sharing') ?? 'shared';
      if (sharing !== 'shared' && sharing !== 'private' && sharing !== 'locked') {
        throw new WherryError('invalid', `unsupported sharing value ${JSON.stringify(sharing)}`);
      }
      const place = required();
      const readOnly = reader.flag('ro', 'readonly') === true || reader.flag('rw', 'readwrite') === false;
      const own = { id: reader.text('id') ?? posix.normalize(place), from, source: reader.text('source', 'src') ?? '' };
      return { type, ...own, target: place, sharing, readOnly, ...reader.ownership(0o755) };
    }
    case 'tmpfs':
      return { type, target: required(), sizeBytes: reader.bytes('size') };
    case 'secret': {
      const variable = reader.text('env');
      const id = reader.text('id') ?? (target === undefined ? '' : posix.basename(target));
      if (id === '') throw new WherryError('invalid', 'one of source, target required');
      const place = target ?? (variable === undefined ? `/run/secrets/${posix.basename(id)}` : undefined);
      const isRequired = reader.flag('required') === true;
      return { type, id, target: place, variable, isRequired, ...reader.ownership(0o400) };
    }
    case 'ssh':
      throw new WherryError('unsupported', 'mounts of SSH agents are not supported; use a secret');
    default:
      throw new WherryError('invalid', `unsupported mount type ${JSON.stringify(type)}`);
  }
}

class OptionReader {
  readonly #options: MountOptions;
  readonly #read = new Set<string>(['type']);

  constructor(options: MountOptions) {
    this.#options = options;
  }

  text(...names: string[]): string | undefined {
    let found: string | undefined;
    for (const name of names) {
      this.#read.add(name);
      if (!this.#options.has(name)) continue;
      found = this.#options.get(name);
      if (found === undefined) throw new WherryError('invalid', `invalid field '${name}' must be a key=value pair`);
    }
    return found;
  }

  flag(...names: string[]): boolean | undefined {
    let found: boolean | undefined;
    for (const name of names) {
      this.#read.add(name);
      if (!this.#options.has(name)) continue;
      const value = this.#options.get(name)?.toLowerCase() ?? 'true';
      if (!['true', '1', 'false', '0'].includes(value)) {
        throw new WherryError('invalid', `invalid value for ${name}: ${value}`);
      }
      found = value === 'true' || value === '1';
    }
    return found;
  }

  bytes(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const [, amount, unit = ''] = /^(\d+)([kmgt]?)i?b?$/i.exec(text) ?? [];
    if (amount === undefined) throw new WherryError('invalid', `invalid value for ${name}: ${text}`);
    return Number(amount) * 1024 ** ['', 'k', 'm', 'g', 't'].indexOf(unit.toLowerCase());
  }

  ownership(mode: number): { readonly mode: number; readonly uid: number; readonly gid: number } {
    return {
      mode: this.#number('mode', 8) ?? mode,
      uid: this.#number('uid', 10) ?? 0,
      gid: this.#number('gid', 10) ?? 0,
    };
  }

  #number(name: string, base: 8 | 10): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (!(base === 8 ? /^[0-7]{1,5}$/ : /^\d{1,10}$/).test(text)) {
      throw new WherryError('invalid', `invalid value ${text} for ${name}`);
    }
    return Number.parseInt(text, base);
  }

  end(type: string): void {
    for (const name of this.#options.keys()) {
      if (!this.#read.has(name)) throw new WherryError('invalid', `unexpected key '${name}' in mount of type ${type}`);
    }
  }
}
