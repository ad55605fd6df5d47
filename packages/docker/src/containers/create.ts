import { codeOf, WherryError } from '@wherry/base';
import type { ImageConfig, Platform } from '@wherry/oci';
import { decodeCreate } from '../config/decode.ts';
import { completeHostConfig } from '../config/defaults.ts';
import { checkLogConfig } from '../config/log-config.ts';
import { mergeImage } from '../config/merge-image.ts';
import { checkNetworkMode, containerOfMode, isUserDefined } from '../config/modes.ts';
import { platformWarning } from '../config/platform-warning.ts';
import { parseSecurityOptions } from '../config/security.ts';
import type { ContainerConfig, EndpointSettings, HostConfig, MountPoint } from '../config/types.ts';
import { checkContainer } from '../config/validate.ts';
import { linksOf } from '../lifecycle/links.ts';
import { imageMounts } from '../lifecycle/volume-mounts.ts';
import { engineConfig } from '../mapping/engine-config.ts';
import { sandboxConfig } from '../mapping/sandbox-config.ts';
import { formatNano, never } from '../times.ts';
import { Container } from './container.ts';
import type { JsonObject } from './containers.ts';
import { type DockerContext, save, tell } from './context.ts';
import { copyUpVolumes, makeVolumes, plannedMounts, releaseVolumes } from './create-mounts.ts';
import { plannedEndpoints } from './create-networks.ts';
import { checkedName, randomName } from './names.ts';
import type { ContainerRecord } from './record.ts';
import { checkWorkingFolder } from './working-folder.ts';

/** Docker's default: 64 MiB. */
const shmSize = 64 * 1024 * 1024;

/** Makes a container: everything is checked before anything is made, and a failure leaves nothing. */
export async function createContainer(
  context: DockerContext,
  body: JsonObject,
  options: { readonly name?: string; readonly platform?: string },
): Promise<{ readonly Id: string; readonly Warnings: readonly string[] }> {
  const { config, host, endpoints } = decodeCreate(body);
  checkNetworkMode(config, host);
  const { host: view, runtimes } = context;
  const warnings = checkContainer(config, host, {
    ...view,
    runtimes: new Set(runtimes),
    ownUsers: context.users !== undefined,
  });
  completeHostConfig(host, { cgroupVersion: view.cgroupVersion, runtime: runtimes[0] ?? 'runc', shmSize });
  const image = await imageOf(context, config, options.platform);
  const askedFolder = config.WorkingDir;
  mergeImage(config, image.config);
  checkLogConfig(host.LogConfig);
  const id = context.random.hex(64);
  const name = takeName(context, options.name, id);
  try {
    const container = await make(context, { id, name, config, host, endpoints, imageId: image.id, askedFolder });
    context.registry.add(container);
    tell(context, container, 'create');
    return { Id: id, Warnings: image.warning === undefined ? warnings : [...warnings, image.warning] };
  } catch (error) {
    context.registry.release(name, id);
    throw error;
  }
}

async function imageOf(
  context: DockerContext,
  config: ContainerConfig,
  platform: string | undefined,
): Promise<{
  readonly id: string;
  readonly config: Parameters<typeof mergeImage>[1];
  readonly warning: string | undefined;
}> {
  if (config.Image === '') {
    const none = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])].length === 0;
    throw new WherryError('invalid', none ? 'no command specified' : 'invalid reference format');
  }
  const own = await context.images.details(config.Image);
  const wanted = wantedPlatform(platform, own.config);
  // A name may have images of several platforms here.
  const image = wanted === undefined ? own : await ifThere(context.images.details(config.Image, wanted));
  if (image === undefined) {
    const { architecture, os } = own.config;
    throw new WherryError(
      'notFound',
      `image with reference ${config.Image} was found but does not match the specified platform: wanted ${platform}, actual: ${os}/${architecture}`,
    );
  }
  const warning = platform === undefined ? platformWarning(image.config, context.host.platform) : undefined;
  return { id: image.id, config: image.config.config ?? {}, warning };
}

async function ifThere<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (codeOf(error) === 'notFound') return undefined;
    throw error;
  }
}

/** The platform that is asked for; `undefined` where an image is of it already. */
function wantedPlatform(asked: string | undefined, own: ImageConfig): Platform | undefined {
  const [os = '', architecture = own.architecture, variant] = (asked ?? '').split('/');
  if ((os === '' || os === own.os) && architecture === own.architecture) return undefined;
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

function takeName({ registry, random }: DockerContext, wanted: string | undefined, id: string): string {
  const name =
    wanted === undefined || wanted === ''
      ? randomName(random, (candidate) => registry.nameTaken(candidate))
      : checkedName(wanted);
  registry.reserve(name, id);
  return name;
}

interface Planned {
  readonly id: string;
  readonly name: string;
  readonly config: ContainerConfig;
  readonly host: HostConfig;
  readonly endpoints: Readonly<Record<string, EndpointSettings>>;
  readonly imageId: string;
  /** The working folder that the image has not given; may be empty. */
  readonly askedFolder: string;
}

async function make(context: DockerContext, planned: Planned): Promise<Container> {
  const { id, config, host } = planned;
  parseSecurityOptions(host, context.host);
  if (!isUserDefined(host.NetworkMode)) linksOf(context, host.Links);
  checkStorageOptions(host);
  if (config.Hostname === '')
    config.Hostname = host.NetworkMode === 'host' || host.UTSMode === 'host' ? context.host.hostname : id.slice(0, 12);
  const endpoints = plannedEndpoints(config, host, planned.endpoints, (network) => context.networks.find(network));
  nameById(context, host);
  const points = plannedMounts(context, config, host);
  try {
    await context.store.make(id);
    const mounts = await makeVolumes(context, id, host, points);
    const container = new Container(newRecord(context, planned, endpoints, mounts));
    await context.engine.definePodSandbox(sandboxConfig(context, container.record, { starting: false }));
    await context.engine.createContainer(
      id,
      engineConfig(context, container.record, { mounts: imageMounts(mounts), groups: [] }),
    );
    if (!['', '/'].includes(planned.askedFolder)) await checkWorkingFolder(context, id, planned.askedFolder);
    await copyUpVolumes(context, id, mounts);
    // Both before the answer; one that removes itself is none the worse for going with a power cut.
    await Promise.all([
      save(context, container, !host.AutoRemove),
      host.AutoRemove ? undefined : context.engine.persist(id),
    ]);
    return container;
  } catch (error) {
    await discard(context, id);
    throw error;
  }
}

/** Writable layers have no quotas here, as with dockerd on most file systems. */
function checkStorageOptions({ StorageOpt: options = {} }: HostConfig): void {
  const names = Object.keys(options);
  if (names.includes('size'))
    throw new WherryError(
      'internal',
      "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
    );
  if (names[0] !== undefined) throw new WherryError('internal', `Unknown option ${names[0]}`);
}

/** A container's name may be another's later: modes keep its id. One whose network is wanted may come until the start. */
function nameById({ registry }: DockerContext, host: HostConfig): void {
  const owner = containerOfMode(host.NetworkMode);
  const network = owner === undefined ? undefined : registry.lookUp(owner);
  if (network !== undefined) host.NetworkMode = `container:${network.id}`;
  for (const kind of ['IpcMode', 'PidMode'] as const) {
    const reference = containerOfMode(host[kind]);
    // Without a name it is the start's to refuse.
    if (reference === undefined || reference === '') continue;
    const other = registry.lookUp(reference);
    // Not `notFound`, for which clients would pull the image.
    if (other === undefined) throw new WherryError('invalid', `No such container: ${reference}`);
    host[kind] = `container:${other.id}`;
  }
}

const usersOf = (context: DockerContext, host: HostConfig): DockerContext['users'] =>
  host.UsernsMode === 'host' ? undefined : context.users;

function newRecord(
  context: DockerContext,
  { id, name, config, host, imageId }: Planned,
  endpoints: Readonly<Record<string, EndpointSettings>>,
  mounts: readonly MountPoint[],
): ContainerRecord {
  const command = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  return {
    version: 1,
    id,
    name,
    created: formatNano(context.now()),
    imageId,
    ...(usersOf(context, host) === undefined ? {} : { users: context.users }),
    path: command[0] ?? '',
    args: command.slice(1),
    config,
    host,
    mounts,
    endpoints,
    state: { phase: 'created', exitCode: 0, error: '', oomKilled: false, startedAt: never, finishedAt: never },
    restartCount: 0,
    manuallyStopped: false,
  };
}

async function discard(context: DockerContext, id: string): Promise<void> {
  const { engine, store, log } = context;
  try {
    await engine.removePodSandbox(id);
    await releaseVolumes(context, id);
    await store.remove(id);
  } catch (error) {
    log.error('an unfinished container stays', { container: id, error });
  }
}
