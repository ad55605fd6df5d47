import { WherryError } from '@wherry/base';
import type { HostConfig } from './types.ts';

export interface LogSettings {
  readonly driver: 'json-file' | 'local' | 'none';
  readonly rotation: { readonly maxBytes: number; readonly maxFiles: number } | undefined;
}

/** Docker's json-file keeps all by default; disks fill up from it, so what local does (20 MB, five files) is ours. */
const defaultRotation = { maxBytes: 20 * 1024 * 1024, maxFiles: 5 };

const known: Readonly<Record<LogSettings['driver'], readonly string[]>> = {
  'json-file': [
    'max-size',
    'max-file',
    'compress',
    'labels',
    'labels-regex',
    'env',
    'env-regex',
    'tag',
    'mode',
    'max-buffer-size',
  ],
  local: [
    'max-size',
    'max-file',
    'compress',
    'labels',
    'labels-regex',
    'env',
    'env-regex',
    'tag',
    'mode',
    'max-buffer-size',
  ],
  none: ['mode', 'max-buffer-size'],
};

/** Checks the log driver and its options with dockerd's words. */
export function parseLogConfig({ Type: type, Config: config }: HostConfig['LogConfig']): LogSettings {
  if (type !== 'json-file' && type !== 'local' && type !== 'none')
    throw new WherryError(
      'internal',
      `error looking up logging plugin ${type}: plugin ${JSON.stringify(type)} not found`,
    );
  for (const name of Object.keys(config))
    if (!known[type].includes(name))
      throw new WherryError('invalid', `unknown log opt '${name}' for ${type} log driver`);
  const mode = config.mode ?? '';
  if (!['', 'blocking', 'non-blocking'].includes(mode))
    throw new WherryError('invalid', `logger: logging mode not supported: ${mode}`);
  if (config['max-buffer-size'] !== undefined && mode !== 'non-blocking')
    throw new WherryError('invalid', "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  if (type === 'none') return { driver: type, rotation: undefined };
  const files = config['max-file'];
  const maxFiles = files === undefined ? undefined : countOf(files);
  const maxBytes = config['max-size'] === undefined ? undefined : sizeOf(config['max-size']);
  return {
    driver: type,
    rotation: {
      maxBytes: maxBytes === undefined || maxBytes <= 0 ? defaultRotation.maxBytes : maxBytes,
      // Without a number of files, json-file keeps one.
      maxFiles: maxFiles ?? (maxBytes !== undefined && type === 'json-file' ? 1 : defaultRotation.maxFiles),
    },
  };
}

function countOf(text: string): number {
  if (!/^-?[0-9]+$/.test(text))
    throw new WherryError('invalid', `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  if (Number(text) < 1) throw new WherryError('invalid', 'max-file cannot be less than 1');
  return Number(text);
}

/** `10m`, `1k`, `5gb`, `100`; −1: no limit. Binary units as docker has them. */
export function sizeOf(text: string): number {
  if (text === '-1') return -1;
  const found = /^([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text);
  if (!found) throw new WherryError('invalid', `invalid size: '${text}'`);
  const power = ['', 'k', 'm', 'g', 't', 'p'].indexOf((found[2] ?? '').toLowerCase());
  return Math.floor(Number(found[1]) * 1024 ** power);
}

/** What `--details` shows of a container: chosen labels and variables, as `key=value` pairs. */
export function logAttributes(
  config: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
  env: readonly string[],
): Record<string, string> {
  const attributes: Record<string, string> = {};
  const list = (text: string | undefined): string[] => (text ?? '').split(',').filter((item) => item !== '');
  for (const name of list(config.labels)) if (Object.hasOwn(labels, name)) attributes[name] = labels[name] as string;
  const values = new Map(env.map((item) => [item.split('=', 1)[0] ?? '', item.slice(item.indexOf('=') + 1)]));
  for (const name of list(config.env)) if (values.has(name)) attributes[name] = values.get(name) as string;
  return attributes;
}
