import { WherryError } from '@wherry/base';
import type { Container } from '../containers/container.ts';
import type { Filters } from '../containers/containers.ts';
import type { DockerContext } from '../containers/context.ts';
import { never, parseNano } from '../times.ts';
import { portsView } from './network-settings.ts';

export interface ListScope {
  /** Also those that do not run. */
  readonly all: boolean;
  readonly limit?: number;
}

type Test = (container: Container) => boolean;

const phases = ['created', 'restarting', 'running', 'removing', 'paused', 'exited', 'dead'];
const healths = ['starting', 'healthy', 'unhealthy', 'none'];

const names = new Set(
  'ancestor before exited expose health id isolation is-task label name network publish since status volume'.split(' '),
);

/** What `docker ps --filter` lets through. Throws `invalid filter '…'`. */
export async function containerFilter(context: DockerContext, filters: Filters, scope: ListScope): Promise<Test> {
  for (const name of filters.keys())
    if (!names.has(name)) throw new WherryError('invalid', name === '' ? 'invalid filter' : `invalid filter '${name}'`);
  const tests: Test[] = [];
  const any = (name: string, test: (container: Container, value: string) => boolean): void => {
    const values = filters.get(name);
    if (values !== undefined) tests.push((container) => values.some((value) => test(container, value)));
  };
  const all = scope.all || (scope.limit ?? 0) > 0 || filters.has('status');
  tests.push((container) => all || container.alive || container.phase === 'restarting');
  checkWords(filters, 'status', phases, (value) => `invalid filter 'status=${value}'`);
  checkWords(filters, 'health', healths, (value) => `unrecognized filter value for health: ${value}`);
  checkWords(filters, 'is-task', ['true', 'false', '1', '0'], (value) => `invalid filter 'is-task=[${value}]'`);
  any('id', ({ id }, value) => value !== '' && id.startsWith(value));
  any('name', ({ name }, value) => matchesName(name, value));
  any('status', ({ phase }, value) => phase === value);
  any('health', ({ health }, value) => (health?.Status ?? 'none') === value);
  any('is-task', (_, value) => value === 'false' || value === '0');
  addExited(filters, tests);
  addOrder(context, filters, tests);
  addLabels(filters, tests);
  await addAncestors(context, filters, tests);
  addNetworks(context, filters, tests);
  addPorts(context, filters, tests);
  any('volume', ({ record }, value) =>
    record.mounts.some(({ Name, Destination, Source }) => Name === value || Destination === value || Source === value),
  );
  return (container) => tests.every((test) => test(container));
}

function checkWords(
  filters: Filters,
  name: string,
  words: readonly string[],
  refusal: (value: string) => string,
): void {
  for (const value of filters.get(name) ?? [])
    if (!words.includes(value)) throw new WherryError('invalid', refusal(value));
}

/** Patterns come from users: short ones only. */
const longestPattern = 256;

function matchesName(name: string, pattern: string): boolean {
  if (pattern === name || pattern === `/${name}`) return true;
  if (pattern.length > longestPattern) return false;
  try {
    const expression = new RegExp(pattern);
    return expression.test(`/${name}`) || expression.test(name);
  } catch {
    return false;
  }
}

function addExited(filters: Filters, tests: Test[]): void {
  const values = filters.get('exited');
  if (values === undefined) return;
  for (const value of values)
    if (!/^-?[0-9]+$/.test(value))
      throw new WherryError(
        'invalid',
        `invalid filter 'exited=${value}': strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`,
      );
  const codes = new Set(values.map(Number));
  tests.push(({ alive, record: { state } }) => !alive && state.startedAt !== never && codes.has(state.exitCode));
}

function addOrder(context: DockerContext, filters: Filters, tests: Test[]): void {
  for (const name of ['before', 'since'] as const)
    for (const reference of filters.get(name) ?? []) {
      if (reference === '') throw new WherryError('notFound', 'No such container: ');
      const border = parseNano(context.registry.find(reference).record.created);
      tests.push(({ record }) => {
        const created = parseNano(record.created);
        return name === 'before' ? created < border : created > border;
      });
    }
}

/** Whether labels have `KEY` or `KEY=VALUE`. */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const at = wanted.indexOf('=');
  const key = at < 0 ? wanted : wanted.slice(0, at);
  return Object.hasOwn(labels, key) && (at < 0 || labels[key] === wanted.slice(at + 1));
}

export function addLabels(filters: Filters, tests: Test[]): void {
  const matches = ({ record }: Container, value: string): boolean => hasLabel(record.config.Labels, value);
  const wanted = filters.get('label') ?? [];
  const unwanted = filters.get('label!') ?? [];
  if (wanted.length > 0) tests.push((container) => wanted.every((value) => matches(container, value)));
  if (unwanted.length > 0) tests.push((container) => !unwanted.some((value) => matches(container, value)));
}

async function addAncestors(context: DockerContext, filters: Filters, tests: Test[]): Promise<void> {
  const values = filters.get('ancestor');
  if (values === undefined) return;
  const ids = new Set<string>();
  for (const value of values) {
    const image = await context.images.find(value).catch(() => undefined);
    if (image !== undefined) ids.add(image.id);
  }
  const summaries = await context.images.summaries();
  for (let before = -1; before !== ids.size; ) {
    before = ids.size;
    for (const { id, parent } of summaries) if (parent !== undefined && ids.has(parent)) ids.add(id);
  }
  tests.push(({ record }) => ids.has(record.imageId));
}

function addNetworks({ networks }: DockerContext, filters: Filters, tests: Test[]): void {
  const values = filters.get('network');
  if (values === undefined) return;
  tests.push(({ record }) =>
    Object.keys(record.endpoints).some((name) =>
      values.some((value) => name === value || networks.find(name)?.id.startsWith(value) === true),
    ),
  );
}

function addPorts(context: DockerContext, filters: Filters, tests: Test[]): void {
  const publish = portSet(filters, 'publish');
  if (publish !== undefined)
    tests.push((container) =>
      context.networks
        .published(container.id)
        .some(({ hostPort, protocol }) => publish.has(`${hostPort}/${protocol.toLowerCase()}`)),
    );
  const expose = portSet(filters, 'expose');
  if (expose !== undefined)
    tests.push((container) => {
      // One that does not run has none.
      return Object.keys(portsView(context, container)).some((port) => expose.has(port));
    });
}

/** `80`, `80/udp`, `8000-8010/tcp`. Refused in dockerd's words, which are Go's. */
function portSet(filters: Filters, name: string): Set<string> | undefined {
  const values = filters.get(name);
  if (values === undefined) return undefined;
  const set = new Set<string>();
  for (const value of values) {
    const refuse = (why: string): never => {
      throw new WherryError('invalid', `error while looking up for ${name} ${value}: ${why}`);
    };
    const [range = '', protocol = ''] = value.split('/');
    if (range === '') refuse('Empty string specified for ports.');
    const [first, last = first] = range.split(/-(.*)/, 2).map((text) => portNumber(text, refuse)) as [number, number?];
    if (last < first) refuse(`Invalid range specified for the Port: ${range}`);
    for (let port = first; port <= last; port++) set.add(`${port}/${protocol.toLowerCase() || 'tcp'}`);
  }
  return set;
}

function portNumber(text: string, refuse: (why: string) => never): number {
  if (/^[0-9]+$/.test(text) && Number(text) <= 65_535) return Number(text);
  const why = /^[0-9]+$/.test(text) ? 'value out of range' : 'invalid syntax';
  return refuse(`strconv.ParseUint: parsing ${JSON.stringify(text)}: ${why}`);
}
