import { WherryError } from '@wherry/base';
import { problemOfExpression, problemOfTag } from './log-expressions.ts';
import type { HostConfig } from './types.ts';

export interface LogSettings {
  readonly driver: 'json-file' | 'local' | 'none';
  readonly rotation: { readonly maxBytes: number; readonly maxFiles: number } | undefined;
}

/** Docker's json-file keeps all by default; disks fill up from it, so what local does (20 MB, five files) is ours. */
const defaultRotation = { maxBytes: 20 * 1024 * 1024, maxFiles: 5 };

const jsonOptions = ['max-size', 'max-file', 'compress', 'labels', 'labels-regex', 'env', 'env-regex', 'tag'];

const known: Readonly<Record<LogSettings['driver'], readonly string[]>> = {
  'json-file': jsonOptions,
  local: ['max-size', 'max-file', 'compress'],
  none: [], // takes any
};

type LogConfig = HostConfig['LogConfig'];

/** What dockerd checks of a log driver when a container is made: that there is one, and the names of its options. */
export function checkLogConfig({ Type: type, Config: config }: LogConfig): void {
  if (!isDriver(type))
    throw new WherryError(
      'internal',
      `error looking up logging plugin ${type}: plugin ${JSON.stringify(type)} not found`,
    );
  const mode = config.mode ?? '';
  if (!['', 'blocking', 'non-blocking'].includes(mode))
    throw new WherryError('invalid', `logger: logging mode not supported: ${mode}`);
  const buffer = config['max-buffer-size'];
  if (buffer !== undefined && mode !== 'non-blocking')
    throw new WherryError('invalid', "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  if (buffer !== undefined && sizeOf(buffer) === undefined)
    throw new WherryError('invalid', `error parsing option max-buffer-size: invalid size: '${buffer}'`);
  if (type === 'none') return;
  for (const name of Object.keys(config)) {
    if (name === 'mode' || name === 'max-buffer-size' || known[type].includes(name)) continue;
    const which = type === 'json-file' ? `${type} log driver` : `log driver ${type}`;
    throw new WherryError('invalid', `unknown log opt '${name}' for ${which}`);
  }
}

const isDriver = (type: string): type is LogSettings['driver'] => Object.hasOwn(known, type);

/** The settings of a log driver, or what is wrong in the values of its options, which dockerd looks at when it starts. */
export function logSettings({ Type: type, Config: config }: LogConfig): LogSettings | { readonly problem: string } {
  if (!isDriver(type) || type === 'none') return { driver: 'none', rotation: undefined };
  const problem = type === 'local' ? problemOfLocal(config) : problemOfJsonFile(config);
  if (problem !== undefined) return { problem };
  const maxBytes = config['max-size'] === undefined ? undefined : sizeOf(config['max-size']);
  const maxFiles = config['max-file'] === undefined ? undefined : Math.max(Number(config['max-file']), 1);
  return {
    driver: type,
    rotation: {
      maxBytes: maxBytes === undefined || maxBytes <= 0 ? defaultRotation.maxBytes : maxBytes,
      // Without a number of files, json-file keeps one.
      maxFiles: maxFiles ?? (maxBytes !== undefined && type === 'json-file' ? 1 : defaultRotation.maxFiles),
    },
  };
}

type Options = Readonly<Record<string, string>>;

function problemOfJsonFile(config: Options): string | undefined {
  const { 'max-size': size, 'max-file': files = '1', compress = 'false' } = config;
  const bytes = size === undefined ? undefined : sizeOf(size);
  if (size !== undefined && bytes === undefined) return `invalid size: '${size}'`;
  if (bytes !== undefined && bytes <= 0) return 'max-size must be a positive number';
  if (!isInteger(files)) return notInteger(files);
  if (Number(files) < 1) return 'max-file cannot be less than 1';
  if (booleanOf(compress) === undefined) return notBoolean(compress);
  if (booleanOf(compress) === true && (Number(files) === 1 || bytes === undefined))
    return 'compress cannot be true when max-file is less than 2 or max-size is not set';
  return (
    problemOfExpression(config['labels-regex']) ?? problemOfExpression(config['env-regex']) ?? problemOfTag(config.tag)
  );
}

function problemOfLocal(config: Options): string | undefined {
  const { 'max-size': size, 'max-file': files, compress } = config;
  const bytes = size === undefined ? undefined : sizeOf(size);
  if (size !== undefined && bytes === undefined) return `invalid value for max-size: ${size}: invalid size: '${size}'`;
  if (files !== undefined && !isInteger(files)) return `invalid value for max-file: ${files}: ${notInteger(files)}`;
  if (compress !== undefined && booleanOf(compress) === undefined)
    return `error reading compress log option: ${notBoolean(compress)}`;
  if (Number(files ?? 0) < 0) return 'max file count cannot be less than 0';
  if (files !== undefined && Number(files) <= 1 && (compress === undefined || booleanOf(compress) === true))
    return 'compression cannot be enabled when max file count is 1';
  return undefined;
}

const isInteger = (text: string): boolean => /^[+-]?[0-9]+$/.test(text);
const notInteger = (text: string): string => `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
const notBoolean = (text: string): string => `strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`;

/** As Go's `strconv.ParseBool`. */
function booleanOf(text: string): boolean | undefined {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  return undefined;
}

/** `10m`, `1k`, `5gb`, `100`, in units of 1000 as docker counts logs; `undefined` for what is no size. */
export function sizeOf(text: string): number | undefined {
  const found = /^([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text);
  if (!found) return undefined;
  const power = ['', 'k', 'm', 'g', 't', 'p'].indexOf((found[2] ?? '').toLowerCase());
  return Math.floor(Number(found[1]) * 1000 ** power);
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
  const matching = (expression: string | undefined): RegExp | undefined =>
    !expression || problemOfExpression(expression) !== undefined ? undefined : new RegExp(expression);
  const label = matching(config['labels-regex']);
  for (const [name, value] of Object.entries(labels)) if (label?.test(name)) attributes[name] = value;
  const variable = matching(config['env-regex']);
  for (const [name, value] of values) if (variable?.test(name)) attributes[name] = value;
  return attributes;
}
