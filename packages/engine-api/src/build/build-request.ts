import { codeOf, messageOf, WherryError } from '@wherry/base';
import type { BuildRequest } from '@wherry/builder';
import { formatReference, parseReference } from '@wherry/oci';
import type { Exchange } from '../http/exchange.ts';
import { parseInteger, type Query } from '../http/query.ts';
import { familiar } from '../images/names.ts';
import { parsePlatform } from '../images/platforms.ts';
import { registryConfig } from '../images/registry-auth.ts';

export type BuildSettings = Omit<BuildRequest, 'context' | 'dockerfile' | 'dockerfileName' | 'onProgress' | 'signal'>;

/** What the query and the headers of `POST /build` ask for. Throws `invalid`, `unsupported`. */
export function buildSettings(exchange: Exchange): BuildSettings {
  const { query, request } = exchange;
  if (query.text('version') === '2' || query.text('remote') === 'client-session') {
    throw new WherryError('unsupported', 'BuildKit is not supported by this endpoint: build with DOCKER_BUILDKIT=0');
  }
  if (query.flag('squash')) {
    throw new WherryError('invalid', 'squash is only supported with experimental mode');
  }
  if (jsonList(query, 'securityopt').length > 0) {
    throw new WherryError('invalid', 'The daemon on this platform does not support setting security options on build');
  }
  return {
    tags: tagsOf(query.all('t')),
    target: query.optional('target'),
    buildArguments: jsonTexts(query, 'buildargs', true) as Record<string, string | null>,
    labels: jsonTexts(query, 'labels', false) as Record<string, string>,
    noCache: query.flag('nocache'),
    pull: query.flag('pull'),
    platform: exchange.speaks(32) ? parsePlatform(query.text('platform')) : undefined,
    cacheFrom: jsonList(query, 'cachefrom'),
    networkMode: query.optional('networkmode') ?? 'default',
    extraHosts: query.all('extrahosts').flatMap((hosts) => hosts.split(',').filter((host) => host !== '')),
    sharedMemoryBytes: positive(query, 'shmsize'),
    resources: resourcesOf(query),
    ignoredBy: 'client',
    auth: registryConfig(request.headers['x-registry-config']),
  };
}

/** Names for the image, each once. Throws `invalid`. */
function tagsOf(given: readonly string[]): readonly string[] {
  const tags = new Set<string>();
  for (const name of given) {
    if (name === '') continue;
    const reference = parseReference(name);
    if (reference.digest !== undefined) throw new WherryError('invalid', 'build tag cannot contain a digest');
    tags.add(familiar(formatReference(reference)));
  }
  return [...tags];
}

function resourcesOf(query: Query): BuildSettings['resources'] {
  const memoryBytes = positive(query, 'memory');
  const cpuQuota = positive(query, 'cpuquota');
  const cpuPeriod = positive(query, 'cpuperiod');
  const cpuShares = positive(query, 'cpushares');
  const cpusetCpus = query.optional('cpusetcpus');
  return {
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(cpuQuota === undefined ? {} : { cpuQuota }),
    ...(cpuPeriod === undefined ? {} : { cpuPeriod }),
    ...(cpuShares === undefined ? {} : { cpuShares }),
    ...(cpusetCpus === undefined ? {} : { cpusetCpus }),
  };
}

/** dockerd takes what is no number as none here. */
function positive(query: Query, name: string): number | undefined {
  try {
    const value = parseInteger(query.text(name));
    return value > 0 ? value : undefined;
  } catch (error) {
    if (codeOf(error) === 'invalid') return undefined;
    throw error;
  }
}

function jsonTexts(query: Query, name: string, nullable: boolean): Record<string, unknown> {
  const value = parse(query, name) ?? {};
  const fits = (member: unknown): boolean => typeof member === 'string' || (nullable && member === null);
  if (typeof value !== 'object' || Array.isArray(value) || !Object.values(value).every(fits)) throw malformed(name);
  return value as Record<string, unknown>;
}

function jsonList(query: Query, name: string): readonly string[] {
  const value = parse(query, name) ?? [];
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) throw malformed(name);
  return value;
}

function parse(query: Query, name: string): unknown {
  const text = query.text(name);
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw malformed(name, messageOf(error));
  }
}

function malformed(name: string, reason = 'wrong type'): WherryError {
  return new WherryError('invalid', `error reading ${name}: ${reason}`);
}
