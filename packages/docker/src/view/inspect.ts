import { dirname, join } from 'node:path';
import { containerOfMode } from '../config/modes.ts';
import type { MountPoint } from '../config/types.ts';
import type { Container } from '../containers/container.ts';
import type { JsonObject } from '../containers/containers.ts';
import type { DockerContext } from '../containers/context.ts';
import { shownLinks } from '../containers/link-names.ts';
import { logName } from '../mapping/engine-config.ts';
import { never } from '../times.ts';
import { bridgeFields, networksView, portsView } from './network-settings.ts';

/** `docker inspect` of a container. */
export async function inspectContainer(
  context: DockerContext,
  container: Container,
  { size }: { readonly size: boolean },
): Promise<JsonObject> {
  const { record } = container;
  const { host } = record;
  const folder = context.store.folder(record.id);
  // From the first start on, whether that came to something or not; with another's network, its files.
  const wasStarted = record.state.startedAt !== never || record.state.error !== '';
  const files = context.store.folder(containerOfMode(record.host.NetworkMode) ?? record.id);
  const at = (name: string): string => (wasStarted ? join(files, name) : '');
  const sizes = size ? await sizesOf(context, container) : {};
  return {
    Id: record.id,
    Created: record.created,
    Path: record.path,
    Args: record.args,
    State: stateView(container),
    Image: record.imageId,
    ResolvConfPath: at('resolv.conf'),
    HostnamePath: at('hostname'),
    HostsPath: at('hosts'),
    LogPath: wasStarted && host.LogConfig.Type === 'json-file' ? join(folder, logName) : '',
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: 'overlay2',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: container.execs.size === 0 ? null : [...container.execs],
    HostConfig: { ...host, Links: shownLinks(record, (target) => context.registry.lookUp(target)?.name ?? target) },
    GraphDriver: await graphDriver(context, container),
    ...sizes,
    Mounts: record.mounts.map(mountView),
    Config: configView(container),
    NetworkSettings: networkSettings(context, container),
  };
}

/** With the address that was asked for in the main network: it has stood here before there were several. */
function configView({ record: { config, host, endpoints } }: Container): JsonObject {
  const mac = config.MacAddress || endpoints[host.NetworkMode]?.MacAddress;
  return { ...config, ...(mac ? { MacAddress: mac } : {}) };
}

function stateView(container: Container): JsonObject {
  const { phase, exitCode, error, oomKilled, startedAt, finishedAt } = container.record.state;
  return {
    Status: phase,
    // One that is about to be started again counts as running.
    Running: container.alive || phase === 'restarting',
    Paused: phase === 'paused',
    Restarting: phase === 'restarting',
    OOMKilled: oomKilled,
    Dead: phase === 'dead',
    Pid: container.alive ? container.pid : 0,
    ExitCode: exitCode,
    Error: error,
    StartedAt: startedAt,
    FinishedAt: finishedAt,
    ...(container.health === undefined ? {} : { Health: container.health }),
  };
}

export function mountView({ made: _made, ...shown }: MountPoint): JsonObject {
  return shown.Type === 'tmpfs'
    ? { Type: 'tmpfs', Source: '', Destination: shown.Destination, Mode: '', RW: shown.RW, Propagation: '' }
    : { ...shown };
}

/** The folders of the overlay, as dockerd's driver shows them. */
async function graphDriver({ engine }: DockerContext, { id, phase }: Container): Promise<JsonObject> {
  if (phase === 'removing' || phase === 'dead') return { Data: null, Name: 'overlay2' };
  using root = await engine.openRootfs(id);
  return {
    Data: {
      LowerDir: root.lowerDirectories.join(':'),
      MergedDir: root.path,
      UpperDir: root.upperDirectory,
      WorkDir: join(dirname(root.upperDirectory), 'work'),
    },
    Name: 'overlay2',
  };
}

export async function sizesOf(
  { engine, images }: DockerContext,
  { id, record }: Container,
): Promise<{ readonly SizeRw: number; readonly SizeRootFs: number }> {
  const SizeRw = await engine.writableLayerSize(id);
  const image = (await images.summaries()).find((summary) => summary.id === record.imageId);
  return { SizeRw, SizeRootFs: SizeRw + (image?.sizeBytes ?? 0) };
}

function networkSettings(context: DockerContext, container: Container): JsonObject {
  const networks = networksView(context, container);
  const runs = container.alive && !container.record.host.NetworkMode.startsWith('container:');
  return {
    Bridge: '',
    SandboxID: runs ? container.id : '',
    SandboxKey: runs ? `/var/run/docker/netns/${container.id.slice(0, 12)}` : '',
    Ports: portsView(context, container),
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    ...bridgeFields(networks),
    Networks: networks,
  };
}
