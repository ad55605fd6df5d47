import { WherryError } from '@wherry/base';
import { parseDocument } from 'yaml';
import { duplicateKeys } from './duplicate-keys.ts';
import { checkYamlBounds } from './yaml-bounds.ts';

/** A request body as JSON values, with the keys that stood twice (the last one counts). */
export interface ParsedBody {
  readonly value: unknown;
  /** Paths such as `spec.replicas`. */
  readonly duplicateFields: readonly string[];
}

const deepest = 1000;
const utf8 = new TextDecoder('utf-8', { fatal: false });

/** How many keys all objects of a value have; error `invalid` when it is nested too deep. */
function countKeys(value: unknown, depth: number): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (depth > deepest) throw new WherryError('invalid', 'exceeded max depth');
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === 'object') count += countKeys(item, depth + 1);
    return count;
  }
  for (const key in value) {
    count++;
    const item = (value as Record<string, unknown>)[key];
    if (typeof item === 'object') count += countKeys(item, depth + 1);
  }
  return count;
}

function backslashesBefore(text: string, at: number): number {
  let count = 0;
  while (text.charCodeAt(at - 1 - count) === 92) count++;
  return count;
}

/** How many keys stand in a text that is known to be JSON. */
function countWrittenKeys(text: string): number {
  let count = 0;
  for (let open = text.indexOf('"'); open >= 0; ) {
    let close = text.indexOf('"', open + 1);
    while (backslashesBefore(text, close) % 2 === 1) close = text.indexOf('"', close + 1);
    let after = close + 1;
    let code = text.charCodeAt(after);
    while (code === 32 || code === 10 || code === 13 || code === 9) code = text.charCodeAt(++after);
    if (code === 58) count++;
    open = text.indexOf('"', after);
  }
  return count;
}

function parseJson(text: string): ParsedBody {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new WherryError('invalid', `couldn't get version/kind; json parse error: ${(cause as Error).message}`, {
      cause,
    });
  }
  const duplicates = countKeys(value, 0) === countWrittenKeys(text) ? [] : duplicateKeys(text);
  return { value, duplicateFields: duplicates };
}

function jsonOrNothing(text: string): ParsedBody | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  countKeys(value, 0);
  return { value, duplicateFields: [] };
}

/** YAML 1.1 as Kubernetes reads it: no time stamps, no base 60, aliases bounded. */
function parseYaml(text: string): ParsedBody {
  // Clients mostly send JSON under this name, as server-side apply takes nothing else.
  if (text.startsWith('{')) {
    const parsed = jsonOrNothing(text);
    if (parsed !== undefined) return parsed;
  }
  checkYamlBounds(text);
  const document = parseDocument(text, {
    version: '1.1',
    merge: true,
    uniqueKeys: false,
    strict: false,
    logLevel: 'silent',
    customTags: (tags) =>
      tags.filter((tag) => typeof tag !== 'object' || !/timestamp|TIME/.test(`${tag.tag} ${tag.format ?? ''}`)),
  });
  const problem = document.errors[0];
  if (problem)
    throw new WherryError('invalid', `error converting YAML to JSON: yaml: ${problem.message.split('\n')[0]}`);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new WherryError('invalid', `error converting YAML to JSON: yaml: ${(cause as Error).message}`, { cause });
  }
  countKeys(value, 0);
  return { value, duplicateFields: [] };
}

/**
 * Reads a request body. JSON types (and none) as JSON, anything with `yaml` as YAML 1.1. Error
 * `invalid` for text that is neither, `unsupported` for other types.
 */
export function parseBody(bytes: Uint8Array, contentType: string | undefined): ParsedBody {
  const type = (contentType ?? 'application/json').split(';')[0]!.trim().toLowerCase();
  const text = utf8.decode(bytes);
  if (type.includes('yaml')) return parseYaml(text);
  if (type === '' || type.includes('json')) return parseJson(text);
  throw new WherryError(
    'unsupported',
    `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml`,
  );
}
