import { WherryError } from '@wherry/base';
import type { JsonObject } from '@wherry/docker';
import type { Exchange } from '../http/exchange.ts';

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Without some of its members. */
function without(object: JsonObject, ...names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

/**
 * The body of a request to create a container as the newest version of the API has it: defaults that older versions
 * had, without what they did not know. Throws `invalid` in dockerd's words.
 */
export function bodyOfClient(exchange: Exchange, body: JsonObject): JsonObject {
  const before = (minor: number): boolean => !exchange.speaks(minor);
  let next = body;
  // Names count in any case, and a second one would hide the first.
  const name = Object.keys(body).find((key) => key.toLowerCase() === 'hostconfig') ?? 'HostConfig';
  const host = body[name] ?? {};
  if (isObject(host)) next = { ...next, [name]: hostConfig(before, host) };
  if (before(44)) {
    if (isObject(next.Healthcheck)) next = { ...next, Healthcheck: without(next.Healthcheck, 'StartInterval') };
    next = withOneNetwork(next);
  }
  return next;
}

type Before = (minor: number) => boolean;

function hostConfig(before: Before, given: JsonObject): JsonObject {
  let host: JsonObject = given;
  if (before(25)) host = without(host, 'AutoRemove');
  if (before(40) && !host.IpcMode) host = { ...host, IpcMode: 'shareable' };
  if (before(41) && !host.CgroupnsMode) host = { ...host, CgroupnsMode: 'host' };
  if (before(42)) host = without(host, 'ConsoleSize');
  if (before(43)) host = without(host, 'Annotations');
  if (!Array.isArray(host.Mounts)) return host;
  return { ...host, Mounts: host.Mounts.map((mount: unknown) => (isObject(mount) ? mountOf(before, mount) : mount)) };
}

/** The options that a mount has by its type. */
const optionsOf = { BindOptions: 'bind', VolumeOptions: 'volume', TmpfsOptions: 'tmpfs' } as const;

function mountOf(before: Before, given: JsonObject): JsonObject {
  let mount: JsonObject = given;
  for (const [name, type] of Object.entries(optionsOf)) {
    if (mount[name] === undefined || mount[name] === null || mount.Type === type) continue;
    if (!before(42))
      throw new WherryError('invalid', `${name} must not be specified on mount type "${mount.Type ?? ''}"`);
    if (name !== 'BindOptions') mount = without(mount, name);
  }
  if (isObject(mount.BindOptions)) {
    let options: JsonObject = mount.BindOptions;
    if (before(44) && mount.Type === 'bind' && options.ReadOnlyForceRecursive === true)
      throw new WherryError('invalid', 'BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer');
    if (before(44) && mount.Type === 'bind' && mount.ReadOnly === true)
      options = { ...options, ReadOnlyNonRecursive: true };
    if (before(40)) options = without(options, 'NonRecursive');
    if (before(42)) options = without(options, 'CreateMountpoint');
    mount = { ...mount, BindOptions: options };
  }
  if (before(45) && isObject(mount.VolumeOptions) && mount.VolumeOptions.Subpath)
    throw new WherryError('invalid', 'VolumeOptions.Subpath needs API v1.45 or newer');
  if (before(46) && isObject(mount.TmpfsOptions))
    mount = { ...mount, TmpfsOptions: without(mount.TmpfsOptions, 'Options') };
  return mount;
}

/** Containers joined one network when they were made, with the address of the interface in the container's own config. */
function withOneNetwork(body: JsonObject): JsonObject {
  const networking = body.NetworkingConfig;
  if (!isObject(networking) || !isObject(networking.EndpointsConfig)) return body;
  const endpoints = Object.entries(networking.EndpointsConfig);
  if (endpoints.length > 1) {
    const names = endpoints.map(([name]) => name).sort();
    throw new WherryError(
      'invalid',
      `Container cannot be created with multiple network endpoints: ${names.join(', ')}`,
    );
  }
  const EndpointsConfig = Object.fromEntries(
    endpoints.map(([name, settings]) => [name, isObject(settings) ? without(settings, 'MacAddress') : settings]),
  );
  return { ...body, NetworkingConfig: { ...networking, EndpointsConfig } };
}

/** A container's inspection as a client knows it: before 1.45 its short id was an alias in networks of users. */
export function inspectionForClient(exchange: Exchange, container: JsonObject): JsonObject {
  const settings = container.NetworkSettings;
  if (exchange.speaks(45) || !isObject(settings) || !isObject(settings.Networks)) return container;
  const short = String(container.Id).slice(0, 12);
  const Networks = Object.fromEntries(
    Object.entries(settings.Networks).map(([name, endpoint]) => [
      name,
      predefinedNetworks.has(name) || !isObject(endpoint)
        ? endpoint
        : { ...endpoint, Aliases: aliasesWith(endpoint, short) },
    ]),
  );
  return { ...container, NetworkSettings: { ...settings, Networks } };
}

const predefinedNetworks: ReadonlySet<string> = new Set(['bridge', 'default', 'host', 'none']);

function aliasesWith({ Aliases }: JsonObject, more: string): readonly unknown[] {
  const own: readonly unknown[] = Array.isArray(Aliases) ? Aliases : [];
  return own.includes(more) ? own : [...own, more];
}
