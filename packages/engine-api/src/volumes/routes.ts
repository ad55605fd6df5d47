import { codeOf, messageOf, rfc3339, WherryError } from '@wherry/base';
import type { Filters } from '@wherry/docker';
import type { VolumeRecord } from '@wherry/volumes';
import { BodyFields } from '../http/body-fields.ts';
import type { Exchange } from '../http/exchange.ts';
import { booleanFilter, checkFilters, matchesLabels, matchesPruneLabels, matchesText } from '../http/filters.ts';
import type { Query } from '../http/query.ts';
import type { Route } from '../http/router.ts';
import type { EngineApiOptions } from '../options.ts';
import { notSwarmManager } from '../swarm/routes.ts';

/** `/volumes`. */
export function volumeRoutes(options: EngineApiOptions): readonly Route[] {
  const { volumes } = options;
  return [
    {
      method: 'GET',
      path: '/volumes',
      handle(exchange) {
        exchange.send(200, { Volumes: selectVolumes(options, exchange).map(volumeResource), Warnings: null });
      },
    },
    {
      method: 'GET',
      path: '/volumes/{name:.*}',
      handle(exchange) {
        exchange.send(200, volumeResource(find(options, exchange.parameter('name'))));
      },
    },
    { method: 'POST', path: '/volumes/create', handle: (exchange) => create(options, exchange) },
    { method: 'POST', path: '/volumes/prune', handle: (exchange) => prune(options, exchange) },
    {
      method: 'PUT',
      path: '/volumes/{name:.*}',
      handle() {
        const words = 'volume update only valid for cluster volumes, but swarm is unavailable';
        throw new WherryError('unavailable', words);
      },
    },
    {
      method: 'DELETE',
      path: '/volumes/{name:.*}',
      async handle(exchange) {
        const name = exchange.parameter('name');
        const force = exchange.query.flag('force');
        const there = volumes.find(name) !== undefined;
        if (!there && !force) throw noVolume(name);
        await volumes.remove(name, { force });
        if (there) announce(options, 'destroy', name);
        exchange.sendNothing();
      },
    },
  ];
}

/** A volume as the API shows it. */
export function volumeResource(volume: VolumeRecord): Readonly<Record<string, unknown>> {
  return {
    CreatedAt: rfc3339(Math.floor(volume.createdAt / 1000) * 1000),
    Driver: volume.driver,
    Labels: orNull(labelsOf(volume)),
    Mountpoint: volume.mountpoint,
    Name: volume.name,
    Options: orNull(volume.options),
    Scope: 'local',
  };
}

const anonymousLabel = 'com.docker.volume.anonymous';

function labelsOf({ labels, anonymous }: VolumeRecord): Readonly<Record<string, string>> {
  return anonymous ? { [anonymousLabel]: '', ...labels } : labels;
}

function orNull(members: Readonly<Record<string, string>>): Readonly<Record<string, string>> | null {
  return Object.keys(members).length === 0 ? null : members;
}

function find({ volumes }: EngineApiOptions, name: string): VolumeRecord {
  const volume = volumes.find(name);
  if (volume === undefined) throw noVolume(name);
  return volume;
}

function noVolume(name: string): WherryError {
  return new WherryError('notFound', `get${name === '' ? '' : ` ${name}`}: no such volume`);
}

function announce({ events }: EngineApiOptions, action: string, name: string): void {
  events.emit('volume', action, name, { driver: 'local' });
}

function selectVolumes({ volumes }: EngineApiOptions, exchange: Exchange): readonly VolumeRecord[] {
  const filters = listFilters(exchange.query);
  checkFilters(filters, ['dangling', 'name', 'driver', 'label']);
  const dangling = booleanFilter(filters, 'dangling');
  return volumes
    .list()
    .filter(
      (volume) =>
        matchesText(filters.get('name'), volume.name) &&
        (filters.get('driver')?.includes(volume.driver) ?? true) &&
        matchesLabels(labelsOf(volume), filters.get('label')) &&
        (dangling === undefined || (volumes.users(volume.name).length === 0) === dangling),
    );
}

function listFilters(query: Query): Filters {
  try {
    return query.filters();
  } catch (error) {
    throw new WherryError('invalid', `error reading volume filters: ${messageOf(error)}`, { cause: error });
  }
}

async function create(options: EngineApiOptions, exchange: Exchange): Promise<void> {
  const { volumes } = options;
  const fields = new BodyFields(await exchange.json(), 'CreateOptions');
  if (fields.raw('ClusterVolumeSpec', 'volume.ClusterVolumeSpec') !== undefined) {
    throw new WherryError('unavailable', notSwarmManager);
  }
  const name = fields.text('Name') || undefined;
  const there = name !== undefined && volumes.find(name) !== undefined;
  const volume = await volumes.create({
    name,
    driver: fields.text('Driver') || undefined,
    options: fields.texts('DriverOpts') ?? {},
    labels: fields.texts('Labels') ?? {},
    anonymous: name === undefined,
  });
  if (!there) announce(options, 'create', volume.name);
  exchange.send(201, volumeResource(volume));
}

/** Other values of `all` are refused in words of their own. */
function allOf(filters: Filters): boolean {
  const values = filters.get('all') ?? [];
  if (values.length === 1 && !/^(?:1|0|t|f|T|F|true|false|TRUE|FALSE|True|False)$/.test(values[0]!)) {
    const why = `strconv.ParseBool: parsing ${JSON.stringify(values[0])}: invalid syntax`;
    throw new WherryError('invalid', `invalid filter 'all': ${why}`);
  }
  return booleanFilter(filters, 'all') ?? false;
}

async function prune(options: EngineApiOptions, exchange: Exchange): Promise<void> {
  const { volumes, events } = options;
  const filters = exchange.query.filters();
  checkFilters(filters, ['label', 'label!', 'all']);
  // Before 1.42 those with names went, too.
  const all = exchange.speaks(42) ? allOf(filters) : true;
  const deleted: string[] = [];
  let reclaimed = 0;
  for (const volume of volumes.list()) {
    if (!all && !volume.anonymous && !Object.hasOwn(volume.labels, anonymousLabel)) continue;
    // What is mounted from elsewhere stays, as with dockerd.
    if (Object.keys(volume.options).length > 0) continue;
    if (volumes.users(volume.name).length > 0 || !matchesPruneLabels(labelsOf(volume), filters)) continue;
    const size = (await volumes.size(volume.name)) ?? 0;
    try {
      await volumes.remove(volume.name);
    } catch (error) {
      // A container took hold of it meanwhile, or somebody was faster.
      if (codeOf(error) === 'conflict' || codeOf(error) === 'notFound') continue;
      throw error;
    }
    announce(options, 'destroy', volume.name);
    deleted.push(volume.name);
    reclaimed += size;
  }
  events.emit('volume', 'prune', '', { reclaimed: String(reclaimed) });
  exchange.send(200, { VolumesDeleted: deleted, SpaceReclaimed: reclaimed });
}
