import { lookup } from 'node:dns/promises';
import { isIPv4 } from 'node:net';
import { codeOf, messageOf, WherryError } from '@wherry/base';
import { mountByOptions, parseMountOptions } from '@wherry/linux';

type Options = Readonly<Record<string, string>>;

const required: Readonly<Record<string, readonly string[]>> = {
  device: ['type'],
  type: ['device'],
  o: ['device', 'type'],
  size: [],
};

const longestName = 255;

/** Throws `invalid` for a name that docker's local driver does not take, in its words. */
export function checkVolumeName(name: string): void {
  if (name.length === 1)
    throw invalid(name, 'volume name is too short, names should be at least two alphanumeric characters');
  if (name.length > longestName) throw invalid(name, `volume name is longer than ${longestName} characters`);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) {
    throw invalid(
      name,
      `${JSON.stringify(name)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  }
}

/** Throws `invalid` for options that docker's local driver does not take, in its words. */
export function checkVolumeOptions(name: string, options: Options): void {
  for (const option of Object.keys(options)) {
    if (!Object.hasOwn(required, option)) throw invalid(name, `invalid option: ${JSON.stringify(option)}`);
  }
  for (const [option, others] of Object.entries(required)) {
    const missing = Object.hasOwn(options, option) ? others.find((other) => !Object.hasOwn(options, other)) : undefined;
    if (missing !== undefined) throw invalid(name, `missing required option: ${JSON.stringify(missing)}`);
  }
  if (options.size !== undefined && !/^\d+(?:\.\d+)? ?(?:[kKmMgGtTpP][iI]?[bB]?|[bB])?$/.test(options.size)) {
    throw invalid(name, `invalid size: '${options.size}'`);
  }
  if (options.size !== undefined && Number.parseFloat(options.size) !== 0) {
    throw invalid(name, 'quota size requested but no quota support');
  }
  for (const value of Object.values(options))
    if (value.includes('\0')) throw invalid(name, 'an option holds a zero byte');
}

function invalid(name: string, reason: string): WherryError {
  return new WherryError('invalid', `create ${name}: ${reason}`);
}

/** Whether a volume has a file system of its own. */
export function hasFileSystem(options: Options): boolean {
  return options.device !== undefined && options.type !== undefined;
}

/** Whether what is written to its file system is gone with the last mount. */
export function isInMemory(options: Options): boolean {
  return options.type === 'tmpfs' || options.type === 'ramfs';
}

/** Mounts the volume's file system on its folder. Failures are in dockerd's words. */
export async function mountVolume(options: Options, folder: string): Promise<void> {
  const type = options.type ?? '';
  const device = options.device ?? '';
  const asked = options.o ?? '';
  const given = type === 'nfs' || type === 'cifs' ? await withAddress(asked, folder) : asked;
  try {
    const isBind = /(?:^|,)r?bind(?:,|$)/.test(given);
    await mountByOptions({ source: device, target: folder, type: isBind ? undefined : type }, given.split(','));
  } catch (error) {
    const { flags, data } = parseMountOptions(given.split(','));
    const facts = [
      `mount ${device}:${folder}`,
      ...(flags === 0 ? [] : [`flags: 0x${flags.toString(16)}`]),
      ...(data === '' ? [] : [`data: ${data}`]),
    ].join(', ');
    throw new WherryError(
      'internal',
      `error while mounting volume '${folder}': failed to mount local volume: ${facts}: ${reasonOf(error)}`,
      { cause: error },
    );
  }
}

/** The kernel takes no names: `addr=` is looked up. */
async function withAddress(options: string, folder: string): Promise<string> {
  const name = /(?:^|,)addr=([^,]*)/.exec(options)?.[1];
  if (name === undefined || name === '' || isIPv4(name)) return options;
  const { address } = await lookup(name).catch((error: unknown) => {
    const why = `error resolving passed in network volume address: ${messageOf(error)}`;
    throw new WherryError('internal', `error while mounting volume '${folder}': ${why}`, { cause: error });
  });
  return options.replace(`addr=${name}`, () => `addr=${address}`);
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENODEV: 'no such device',
  EINVAL: 'invalid argument',
  ENOTDIR: 'not a directory',
  ENOTBLK: 'block device required',
  EBUSY: 'device or resource busy',
  EPERM: 'operation not permitted',
  EACCES: 'permission denied',
  ECONNREFUSED: 'connection refused',
  ETIMEDOUT: 'connection timed out',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network is unreachable',
  EPROTONOSUPPORT: 'protocol not supported',
};

function reasonOf(error: unknown): string {
  const errno = codeOf(error) === undefined ? undefined : (error as WherryError).details?.errno;
  if (typeof errno === 'string') return reasons[errno] ?? errno;
  return error instanceof Error ? error.message : String(error);
}
