import { codeOf, messageOf, parseGoJson, systemClock, WherryError } from '@wherry/base';
import type { LoadedImage } from '@wherry/images';
import { parseReference } from '@wherry/oci';
import { kindOf, readText } from '../http/body.ts';
import { type Exchange, primed } from '../http/exchange.ts';
import { booleanFilter, checkFilters } from '../http/filters.ts';
import type { JsonLines } from '../http/json-lines.ts';
import { Progress } from '../http/progress.ts';
import type { Query } from '../http/query.ts';
import type { Route } from '../http/router.ts';
import type { EngineApiOptions } from '../options.ts';
import { importImage } from './import-image.ts';
import { familiar, isBare, joinName } from './names.ts';
import { platformAsked, platformsAsked } from './platforms.ts';
import { asServerError, pullImage } from './pull-image.ts';
import { pushImage } from './push-image.ts';
import { authOf, registryAuth } from './registry-auth.ts';

/** Images that come and go: pull, push, import, load, save, search, login. */
export function transferRoutes(options: EngineApiOptions): readonly Route[] {
  const { images, clock = systemClock } = options;
  return [
    {
      method: 'POST',
      path: '/images/create',
      async handle(exchange) {
        if (exchange.query.text('fromImage') === '') await importImage(options, exchange);
        else await pull(options, exchange);
      },
    },
    {
      method: 'POST',
      path: '/images/{name:.*}/push',
      async handle(exchange) {
        const tag = exchange.query.text('tag');
        const name = tag === '' ? exchange.parameter('name') : joinName(exchange.parameter('name'), tag);
        const auth = registryAuth(exchange.request.headers['x-registry-auth']);
        const platform = platformAsked(exchange, 46);
        await pushImage(images, { name, platform, auth, signal: exchange.signal }, exchange.lines('\r\n'), clock);
      },
    },
    { method: 'POST', path: '/images/load', handle: (exchange) => load(options, exchange) },
    { method: 'GET', path: '/images/get', handle: (exchange) => save(options, exchange, exchange.query.all('names')) },
    {
      method: 'GET',
      path: '/images/{name:.*}/get',
      handle: (exchange) => save(options, exchange, [exchange.parameter('name')]),
    },
    { method: 'GET', path: '/images/search', handle: (exchange) => search(options, exchange) },
    { method: 'POST', path: '/auth', handle: (exchange) => login(options, exchange) },
  ];
}

async function pull({ images, clock = systemClock }: EngineApiOptions, exchange: Exchange): Promise<void> {
  const { query, request, signal } = exchange;
  const name = joinName(query.text('fromImage').replace(/:+$/, ''), query.text('tag'));
  parseReference(name);
  const platform = platformAsked(exchange, 32);
  const auth = registryAuth(request.headers['x-registry-auth']);
  await pullImage(images, { name, allTags: isBare(name), platform, auth, signal }, exchange.lines('\r\n'), clock);
}

/** What goes wrong comes on the stream: a broken archive shows only after some of it. */
async function load({ images, clock = systemClock }: EngineApiOptions, exchange: Exchange): Promise<void> {
  const quiet = exchange.query.flag('quiet', true);
  const platforms = platformsAsked(exchange, 48);
  const lines = exchange.lines('\r\n');
  const progress = new Progress(lines, clock);
  lines.begin();
  try {
    const loaded = await images.load(exchange.body, {
      signal: exchange.signal,
      platforms,
      onLoaded: (image) => tellLoaded(lines, image),
      ...(quiet
        ? {}
        : {
            onLayer: ({ diffId, size }) => progress.bar(diffId.slice(7, 19), 'Loading layer', size, size),
          }),
    });
    if (loaded.length === 0) lines.write({ stream: '' });
    lines.end();
  } catch (error) {
    lines.fail(error);
  }
}

function tellLoaded(lines: JsonLines, { id, names, replaced = [], isLegacy = false }: LoadedImage): void {
  for (const old of replaced) {
    lines.write({
      stream: `The image ${old.name} already exists, renaming the old one with ID ${old.id} to empty string\n`,
    });
  }
  if (isLegacy) return;
  if (names.length === 0) lines.write({ stream: `Loaded image ID: ${id}\n` });
  for (const name of names) lines.write({ stream: `Loaded image: ${familiar(name)}\n` });
}

async function save({ images }: EngineApiOptions, exchange: Exchange, names: readonly string[]): Promise<void> {
  if (names.length === 0) throw new WherryError('invalid', 'no images to save');
  const platform = platformAsked(exchange, 48);
  await exchange.stream('application/x-tar', await primed(images.save(names, { platform })));
}

async function search({ images }: EngineApiOptions, exchange: Exchange): Promise<void> {
  const { query, request } = exchange;
  const limit = limitOf(query);
  if (limit !== undefined && (limit < 1 || limit > 100)) {
    throw new WherryError('invalid', `limit ${limit} is outside the range of [1, 100]`);
  }
  const filters = query.filters();
  const auth = registryAuth(request.headers['x-registry-auth']);
  checkFilters(filters, ['is-automated', 'is-official', 'stars']);
  // There are none any more.
  if (booleanFilter(filters, 'is-automated') === true) {
    exchange.send(200, []);
    return;
  }
  const isOfficial = booleanFilter(filters, 'is-official');
  const stars = Math.max(0, ...(filters.get('stars') ?? []).map(starsOf));
  try {
    const found = await images.search(query.text('term'), { auth, ...(limit === undefined ? {} : { limit }) });
    exchange.send(
      200,
      found
        .filter((result) => (isOfficial ?? result.official) === result.official && result.stars >= stars)
        .map((result) => ({
          star_count: result.stars,
          is_official: result.official,
          name: result.name,
          is_automated: result.automated,
          description: result.description,
        })),
    );
  } catch (error) {
    throw asServerError(error);
  }
}

function limitOf(query: Query): number | undefined {
  if (query.text('limit') === '') return undefined;
  try {
    return query.requiredInteger('limit');
  } catch (error) {
    throw new WherryError('invalid', `invalid limit specified: ${messageOf(error)}`, { cause: error });
  }
}

function starsOf(text: string): number {
  if (/^[+-]?[0-9]+$/.test(text)) return Number(text);
  const words = `invalid filter 'stars=${text}': strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
  throw new WherryError('invalid', words);
}

async function login({ images }: EngineApiOptions, exchange: Exchange): Promise<void> {
  const body = await credentialsIn(exchange);
  const server = typeof body.serveraddress === 'string' ? body.serveraddress : '';
  try {
    const { status, identityToken } = await images.login(server, authOf(body) ?? { username: '', password: '' });
    exchange.send(200, { IdentityToken: identityToken, Status: status });
  } catch (error) {
    throw asServerError(error);
  }
}

/** Whatever type the body says that it has; dockerd calls what is wrong with it a failure of its own. */
async function credentialsIn({ body }: Exchange): Promise<Readonly<Record<string, unknown>>> {
  const wrong = (words: string, cause?: unknown): WherryError => new WherryError('internal', words, { cause });
  let value: unknown;
  try {
    value = parseGoJson(await readText(body, largestCredentials), 'stream');
  } catch (error) {
    if (codeOf(error) !== 'corrupt') throw error;
    throw wrong(messageOf(error), error);
  }
  const refuse = (found: unknown, place: string): WherryError =>
    wrong(`json: cannot unmarshal ${kindOf(found)} into Go ${place}`);
  if (value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw refuse(value, 'value of type registry.AuthConfig');
  const members = value as Readonly<Record<string, unknown>>;
  for (const name of ['username', 'password', 'auth', 'email', 'serveraddress', 'identitytoken', 'registrytoken']) {
    const member = members[name] ?? '';
    if (typeof member !== 'string') throw refuse(member, `struct field AuthConfig.${name} of type string`);
  }
  return members;
}

const largestCredentials = 1024 * 1024;
