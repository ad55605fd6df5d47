import { codeOf, messageOf, parseGoJson, WherryError } from '@wherry/base';
import type { BuildRequest } from '@wherry/builder';
import { formatReference, parseReference } from '@wherry/oci';
import { kindOf } from '../http/body.ts';
import type { Exchange } from '../http/exchange.ts';
import { parseInteger, type Query } from '../http/query.ts';
import { familiar } from '../images/names.ts';
import { parsePlatform } from '../images/platforms.ts';
import { registryConfig } from '../images/registry-auth.ts';
import { buildSecrets } from './build-secrets.ts';

export type BuildSettings = Omit<BuildRequest, 'context' | 'dockerfile' | 'dockerfileName' | 'onProgress' | 'signal'>;

/** What the query and the headers of `POST /build` ask for. Throws `invalid`, `unsupported`. */
export function buildSettings(exchange: Exchange): BuildSettings {
  const { query, request } = exchange;
  const version = query.text('version');
  if (version !== '' && version !== '1' && version !== '2')
    throw new WherryError('invalid', `invalid version ${JSON.stringify(version)}`);
  checkSharedMemory(query.text('shmsize'));
  if (version !== '2' && query.text('remote') === 'client-session') {
    const words =
      'experimental session with v1 builder is no longer supported, use builder version v2 (BuildKit) instead';
    throw new WherryError('invalid', words);
  }
  checkOutputs(query.text('outputs'));
  if (version === '2') {
    throw new WherryError('unsupported', 'BuildKit is not supported by this endpoint: build with DOCKER_BUILDKIT=0');
  }
  if (query.flag('squash')) {
    throw new WherryError('invalid', 'squash is only supported with experimental mode');
  }
  if (query.has('securityopt')) throw new WherryError('invalid', 'security options are not supported on linux');
  const isolation = query.text('isolation');
  if (isolation !== '' && isolation.toLowerCase() !== 'default') {
    throw new WherryError('invalid', `unsupported isolation: ${JSON.stringify(isolation)}`);
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
    sharedMemoryBytes: whole(query, 'shmsize') || undefined,
    resources: resourcesOf(query),
    limits: limitsOf(query),
    cgroupParent: query.optional('cgroupparent'),
    ignoredBy: 'client',
    auth: registryConfig(request.headers['x-registry-config']),
    secrets: buildSecrets(request.headers['x-build-secrets']),
  };
}

/** Outputs are BuildKit's; dockerd looks at them all the same. */
function checkOutputs(text: string): void {
  if (text === '') return;
  try {
    parseGoJson(text, 'document');
  } catch (error) {
    throw new WherryError('invalid', `invalid outputs specified: ${messageOf(error)}`, { cause: error });
  }
}

/** The one size that dockerd does not take for none where it is no number. */
function checkSharedMemory(text: string): void {
  if (text !== '' && !/^[+-]?\d+$/.test(text))
    throw new WherryError('internal', `strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** Names for the image, each once. Throws `internal`, as dockerd has it. */
function tagsOf(given: readonly string[]): readonly string[] {
  const tags = new Set<string>();
  for (const name of given) {
    if (name === '') continue;
    const reference = parseTag(name);
    if (reference.digest !== undefined) throw new WherryError('internal', 'build tag cannot contain a digest');
    tags.add(familiar(formatReference(reference)));
  }
  return [...tags];
}

function parseTag(name: string): ReturnType<typeof parseReference> {
  try {
    return parseReference(name);
  } catch (error) {
    throw new WherryError('internal', messageOf(error), { cause: error });
  }
}

function resourcesOf(query: Query): BuildSettings['resources'] {
  return {
    memoryBytes: whole(query, 'memory'),
    memorySwapBytes: whole(query, 'memswap'),
    cpuQuota: whole(query, 'cpuquota'),
    cpuPeriod: whole(query, 'cpuperiod'),
    cpuShares: whole(query, 'cpushares'),
    cpusetCpus: query.text('cpusetcpus'),
    cpusetMems: query.text('cpusetmems'),
  };
}

/** `[{"Name":"nofile","Soft":1024,"Hard":2048}]` */
function limitsOf(query: Query): BuildSettings['limits'] {
  const value = parse(query, 'ulimits') ?? [];
  if (!Array.isArray(value)) throw malformed('ulimits');
  return value.map((limit: unknown) => {
    const { Name: name, Soft: soft = 0, Hard: hard = 0 } = (limit ?? {}) as Record<string, unknown>;
    if (typeof name !== 'string' || !Number.isSafeInteger(soft) || !Number.isSafeInteger(hard)) {
      throw malformed('ulimits');
    }
    return { name, soft: soft as number, hard: hard as number };
  });
}

/** dockerd takes what is no number for none here. */
function whole(query: Query, name: string): number {
  const text = query.text(name);
  if (text === '') return 0;
  try {
    return parseInteger(text);
  } catch (error) {
    if (codeOf(error) === 'invalid') return 0;
    throw error;
  }
}

function jsonTexts(query: Query, name: string, nullable: boolean): Record<string, unknown> {
  const value = parse(query, name) ?? {};
  const fits = (member: unknown): boolean => typeof member === 'string' || (nullable && member === null);
  if (typeof value !== 'object' || Array.isArray(value))
    throw mistyped(name, value, `map[string]${nullable ? '*' : ''}string`);
  const wrong = Object.values(value).find((member) => !fits(member) && member !== null);
  if (wrong !== undefined) throw mistyped(name, wrong, 'string');
  if (nullable) return value as Record<string, unknown>;
  // Go's zero value.
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, member ?? '']));
}

function jsonList(query: Query, name: string): readonly string[] {
  const value = parse(query, name) ?? [];
  if (!Array.isArray(value)) throw mistyped(name, value, '[]string');
  const wrong = value.find((item) => typeof item !== 'string' && item !== null);
  if (wrong !== undefined) throw mistyped(name, wrong, 'string');
  return value.map((item) => item ?? '');
}

function mistyped(name: string, value: unknown, type: string): WherryError {
  return malformed(name, `json: cannot unmarshal ${kindOf(value)} into Go value of type ${type}`);
}

function parse(query: Query, name: string): unknown {
  const text = query.text(name);
  if (text === '') return undefined;
  try {
    return parseGoJson(text, 'document');
  } catch (error) {
    throw malformed(name, messageOf(error));
  }
}

/** dockerd's words for what it reads. */
const whatIs: Readonly<Record<string, string>> = {
  buildargs: 'build args',
  cachefrom: 'cache-from',
  ulimits: 'ulimit settings',
};

function malformed(name: string, reason = 'wrong type'): WherryError {
  return new WherryError('invalid', `error reading ${whatIs[name] ?? name}: ${reason}`);
}
