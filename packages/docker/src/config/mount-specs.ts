import { isAbsolute, normalize } from 'node:path';
import { WherryError } from '@wherry/base';
import type { HostConfig, MountPoint, MountSpec } from './types.ts';

const propagations = new Set(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave']);
const consistencies = new Set(['default', 'consistent', 'cached', 'delegated']);

/** Checks one `--mount` with dockerd's words. `exists`: whether a path is there on the host. */
export function checkMountSpec(mount: MountSpec, exists: (path: string) => boolean): void {
  const refuse = (text: string): never => {
    throw new WherryError('invalid', `invalid mount config for type ${JSON.stringify(mount.Type)}: ${text}`);
  };
  const source = mount.Source ?? '';
  checkTarget(mount.Target, refuse);
  const foreign = (names: readonly ('BindOptions' | 'VolumeOptions' | 'TmpfsOptions' | 'ImageOptions')[]): void => {
    for (const name of names) if (mount[name] !== undefined) refuse(`field ${name} must not be specified`);
  };
  switch (mount.Type) {
    case 'bind':
      if (source === '') refuse('field Source must not be empty');
      foreign(['VolumeOptions', 'ImageOptions', 'TmpfsOptions']);
      checkBind(mount, source, refuse, exists);
      return;
    case 'volume':
      foreign(['BindOptions', 'ImageOptions', 'TmpfsOptions']);
      if (source === '' && mount.VolumeOptions?.Subpath !== undefined)
        refuse('must not set Subpath when using anonymous volumes');
      if (leaves(mount.VolumeOptions?.Subpath ?? '')) refuse(`subpath must be a relative path within the volume`);
      if (source === '' && mount.ReadOnly === true) refuse('must not set ReadOnly mode when using anonymous volumes');
      return;
    case 'tmpfs':
      foreign(['BindOptions', 'VolumeOptions', 'ImageOptions']);
      if (source !== '') refuse('field Source must not be specified');
      return;
    case 'image':
      foreign(['BindOptions', 'VolumeOptions', 'TmpfsOptions']);
      if (source === '') refuse('field Source must not be empty');
      if (leaves(mount.ImageOptions?.Subpath ?? '')) refuse('subpath must be a relative path within the volume');
      return;
    default:
      refuse('mount type unknown');
  }
}

function checkBind(
  mount: MountSpec,
  source: string,
  refuse: (text: string) => never,
  exists: (path: string) => boolean,
): void {
  const propagation = mount.BindOptions?.Propagation ?? '';
  if (propagation !== '' && !propagations.has(propagation)) refuse(`invalid propagation mode: ${propagation}`);
  if (!isAbsolute(source)) refuse(`invalid mount path: '${source}' mount path must be absolute`);
  if (mount.BindOptions?.CreateMountpoint !== true && !exists(source))
    refuse(`bind source path does not exist: ${source}`);
}

function checkTarget(target: string, refuse: (text: string) => never): void {
  if (target === '') refuse('field Target must not be empty');
  if (!isAbsolute(target)) refuse(`invalid mount path: '${target}' mount path must be absolute`);
  if (normalize(target).replace(/\/$/, '') === '') refuse("invalid specification: destination can't be '/'");
}

/** Whether a path leads out of the folder that it is in. */
export function leaves(path: string): boolean {
  return isAbsolute(path) || normalize(path).split('/')[0] === '..';
}

/** `-v` of docker: `[SOURCE:]DESTINATION[:MODE]`. Throws `invalid volume specification: …`. */
export function parseBind(text: string): MountPoint {
  const refuse = (more?: string): never => {
    throw new WherryError(
      'internal',
      `invalid volume specification: '${text}'${more === undefined ? '' : `: ${more}`}`,
    );
  };
  const parts = text.split(':');
  if (parts.length > 3 || parts[0] === '') refuse();
  const [source, destination = '', mode = ''] = parts.length === 1 ? ['', parts[0]] : parts;
  // A mode needs a source before it.
  if (parts.length === 2 && parseMode(destination) !== undefined) refuse();
  const flags = parseMode(mode);
  if (flags === undefined) throw new WherryError('internal', `invalid mode: ${mode}`);
  const type = isAbsolute(source as string) ? 'bind' : 'volume';
  const within = (why: string): never => refuse(`invalid mount config for type "${type}": ${why}`);
  checkTarget(destination, within);
  if (type === 'bind' && flags.noCopy) within('field VolumeOptions must not be specified');
  if (type === 'volume' && flags.propagation !== undefined) within('field BindOptions must not be specified');
  const target = normalize(destination).replace(/(.)\/$/, '$1');
  if (type === 'bind')
    return {
      Type: 'bind',
      Source: normalize(source as string).replace(/(.)\/$/, '$1'),
      Destination: target,
      Mode: mode,
      RW: !flags.readOnly,
      Propagation: flags.propagation ?? 'rprivate',
      made: flags.propagation === undefined ? { propagates: 'byDefault' } : {},
    };
  return {
    Type: 'volume',
    ...(source === '' ? {} : { Name: source as string }),
    Source: '',
    Destination: target,
    Driver: 'local',
    Mode: source === '' ? mode : mode === '' ? 'z' : mode,
    RW: !flags.readOnly,
    Propagation: '',
    made: { anonymous: source === '', noCopy: flags.noCopy },
  };
}

interface ModeFlags {
  readonly readOnly: boolean;
  readonly noCopy: boolean;
  readonly propagation: string | undefined;
}

/** The third part of `-v`: each kind of word once at most. */
function parseMode(mode: string): ModeFlags | undefined {
  const found: Record<string, string> = {};
  for (const word of mode === '' ? [] : mode.split(',')) {
    const kind = kindOfMode(word);
    if (kind === undefined || found[kind] !== undefined) return undefined;
    found[kind] = word;
  }
  return {
    readOnly: found.access === 'ro',
    noCopy: found.copy === 'nocopy',
    propagation: found.propagation,
  };
}

function kindOfMode(word: string): string | undefined {
  if (word === 'rw' || word === 'ro') return 'access';
  // `:U` is podman's; dockerd refuses it, too.
  if (word === 'z' || word === 'Z') return 'label';
  if (word === 'nocopy') return 'copy';
  if (propagations.has(word)) return 'propagation';
  return consistencies.has(word) ? 'consistency' : undefined;
}

/** `--volumes-from CONTAINER[:MODE]`. */
export function parseVolumesFrom(text: string): { readonly container: string; readonly mode: string } {
  const at = text.indexOf(':');
  const container = at < 0 ? text : text.slice(0, at);
  const mode = at < 0 ? '' : text.slice(at + 1);
  if (text === '') throw new WherryError('invalid', 'volumes-from specification cannot be an empty string');
  const flags = parseMode(mode);
  if (flags === undefined || flags.noCopy || flags.propagation !== undefined)
    throw new WherryError('invalid', `invalid mode: ${mode}`);
  return { container, mode: mode === '' ? 'rw' : mode };
}

/** A checked `--mount` as a mount point; the source of a volume is known once it is made. */
export function mountPointOf(mount: MountSpec): MountPoint {
  const common = {
    Source: mount.Source ?? '',
    Destination: normalize(mount.Target).replace(/(.)\/$/, '$1'),
    RW: mount.ReadOnly !== true,
  };
  switch (mount.Type) {
    case 'bind':
      return {
        Type: 'bind',
        ...common,
        Mode: '',
        Propagation: mount.BindOptions?.Propagation ?? 'rprivate',
        made: {
          ...(mount.BindOptions?.Propagation === undefined ? { propagates: 'byDefault' } : {}),
          nonRecursive: mount.BindOptions?.NonRecursive === true,
          readOnlyNonRecursive: mount.BindOptions?.ReadOnlyNonRecursive === true,
        },
      };
    case 'image':
      return {
        Type: 'image',
        Name: common.Source,
        ...common,
        Mode: '',
        RW: false,
        Propagation: 'rprivate',
        made: mount.ImageOptions?.Subpath === undefined ? {} : { subpath: mount.ImageOptions.Subpath },
      };
    case 'tmpfs':
      return {
        Type: 'tmpfs',
        ...common,
        Source: '',
        Mode: '',
        Propagation: '',
        made: { tmpfsOptions: tmpfsOptions(mount) },
      };
    default:
      return {
        Type: 'volume',
        ...(mount.Source === undefined ? {} : { Name: mount.Source }),
        ...common,
        Source: '',
        Driver: 'local',
        Mode: mount.Source === undefined ? '' : 'z',
        Propagation: '',
        made: {
          anonymous: mount.Source === undefined,
          noCopy: mount.VolumeOptions?.NoCopy === true,
          ...(mount.VolumeOptions?.Subpath === undefined ? {} : { subpath: mount.VolumeOptions.Subpath }),
        },
      };
  }
}

function tmpfsOptions(mount: MountSpec): string[] {
  const { SizeBytes: size = 0, Mode: mode = 0, Options: more = [] } = mount.TmpfsOptions ?? {};
  return [
    ...(mount.ReadOnly === true ? ['ro'] : []),
    ...(mode === 0 ? [] : [`mode=${mode.toString(8)}`]),
    ...(size === 0 ? [] : [`size=${sizeWord(size)}`]),
    ...more.map((pair) => pair.join('=')),
  ];
}

/** The kernel shows sizes in KiB; whole units keep the options short. */
function sizeWord(bytes: number): string {
  for (const [factor, unit] of [
    [1024 ** 3, 'g'],
    [1024 ** 2, 'm'],
    [1024, 'k'],
  ] as const)
    if (bytes % factor === 0) return `${bytes / factor}${unit}`;
  return String(bytes);
}

/** `--tmpfs PATH:OPTIONS`. */
export function tmpfsPoints(host: HostConfig): MountPoint[] {
  return Object.entries(host.Tmpfs ?? {}).map(([path, options]) => ({
    Type: 'tmpfs',
    Source: '',
    Destination: normalize(path).replace(/(.)\/$/, '$1'),
    Mode: '',
    RW: !options.split(',').includes('ro'),
    Propagation: '',
    made: { tmpfsOptions: options === '' ? [] : options.split(',') },
  }));
}
