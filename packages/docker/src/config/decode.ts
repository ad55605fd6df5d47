import { WherryError } from '@wherry/base';
import type { JsonObject } from '../containers/containers.ts';
import { BodyReader, define } from './body-reader.ts';
import type {
  ContainerConfig,
  DeviceValue,
  EndpointSettings,
  HealthConfig,
  HostConfig,
  MountSpec,
  PortBinding,
  Resources,
  RestartPolicy,
} from './types.ts';

export interface CreateRequest {
  readonly config: ContainerConfig;
  readonly host: HostConfig;
  /** By network, as the client named it. */
  readonly endpoints: Readonly<Record<string, EndpointSettings>>;
}

const wrapper = 'ContainerConfigWrapper';

/** Takes the body of `POST /containers/create` apart. Defaults are filled in by `completeHostConfig`. */
export function decodeCreate(body: JsonObject): CreateRequest {
  const reader = new BodyReader(body, wrapper);
  if (Object.keys(body).every((name) => ['hostconfig', 'networkingconfig'].includes(name.toLowerCase())))
    throw new WherryError('invalid', 'config cannot be empty in order to create a container');
  const config = decodeConfig(reader.embedded('Config'));
  const host = reader.object('HostConfig', 'container.HostConfig') ?? new BodyReader({}, 'HostConfig');
  const networking = reader.object('NetworkingConfig', 'network.NetworkingConfig');
  return { config, host: decodeHostConfig(host), endpoints: decodeEndpoints(networking) };
}

/** A `ContainerConfig` body by itself, as `POST /commit` takes it. */
export function decodeConfig(reader: BodyReader): ContainerConfig {
  const exposed = reader.set('ExposedPorts', 'nat.PortSet');
  const health = reader.object('Healthcheck', 'v1.HealthcheckConfig');
  const stopTimeout = reader.optionalInteger('StopTimeout', 'int');
  const stopSignal = reader.text('StopSignal');
  const shell = reader.words('Shell');
  const mac = reader.text('MacAddress');
  return {
    Hostname: reader.text('Hostname'),
    Domainname: reader.text('Domainname'),
    User: reader.text('User'),
    AttachStdin: reader.flag('AttachStdin'),
    AttachStdout: reader.flag('AttachStdout'),
    AttachStderr: reader.flag('AttachStderr'),
    ...(exposed === undefined || Object.keys(exposed).length === 0 ? {} : { ExposedPorts: exposed }),
    Tty: reader.flag('Tty'),
    OpenStdin: reader.flag('OpenStdin'),
    StdinOnce: reader.flag('StdinOnce'),
    Env: reader.texts('Env'),
    Cmd: reader.words('Cmd'),
    ...(health === undefined ? {} : { Healthcheck: decodeHealth(health) }),
    Image: reader.text('Image'),
    Volumes: reader.set('Volumes') ?? null,
    WorkingDir: reader.text('WorkingDir'),
    Entrypoint: reader.words('Entrypoint'),
    ...(reader.flag('NetworkDisabled') ? { NetworkDisabled: true } : {}),
    ...(mac === '' ? {} : { MacAddress: mac }),
    OnBuild: reader.texts('OnBuild'),
    Labels: reader.textMap('Labels') ?? {},
    ...(stopSignal === '' ? {} : { StopSignal: stopSignal }),
    ...(stopTimeout === undefined ? {} : { StopTimeout: stopTimeout }),
    ...(shell === null || shell.length === 0 ? {} : { Shell: shell }),
  };
}

function decodeHealth(reader: BodyReader): HealthConfig {
  const health: HealthConfig = {};
  const test = reader.texts('Test');
  if (test !== null && test.length > 0) health.Test = test;
  for (const name of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'] as const) {
    const value = reader.integer(name, name === 'Retries' ? 'int' : 'time.Duration');
    if (value !== 0) health[name] = value;
  }
  return health;
}

function decodeHostConfig(reader: BodyReader): HostConfig {
  const log = reader.object('LogConfig', 'container.LogConfig');
  const optional = {
    Annotations: reader.textMap('Annotations'),
    StorageOpt: reader.textMap('StorageOpt'),
    Tmpfs: reader.textMap('Tmpfs'),
    Sysctls: reader.textMap('Sysctls'),
  };
  const mounts = reader.objects('Mounts', 'mount.Mount');
  const init = reader.optionalFlag('Init');
  return {
    Binds: reader.texts('Binds'),
    ContainerIDFile: reader.text('ContainerIDFile'),
    LogConfig: { Type: log?.text('Type') ?? '', Config: log?.textMap('Config') ?? {} },
    NetworkMode: reader.text('NetworkMode', 'container.NetworkMode'),
    PortBindings: decodePortBindings(reader),
    RestartPolicy: decodeRestartPolicy(reader),
    AutoRemove: reader.flag('AutoRemove'),
    VolumeDriver: reader.text('VolumeDriver'),
    VolumesFrom: reader.texts('VolumesFrom'),
    ConsoleSize: reader.integers('ConsoleSize', 2, 'uint'),
    ...Object.fromEntries(Object.entries(optional).filter(([, map]) => map && Object.keys(map).length > 0)),
    CapAdd: reader.words('CapAdd'),
    CapDrop: reader.words('CapDrop'),
    CgroupnsMode: reader.text('CgroupnsMode', 'container.CgroupnsMode'),
    Dns: reader.texts('Dns'),
    DnsOptions: reader.texts('DnsOptions'),
    DnsSearch: reader.texts('DnsSearch'),
    ExtraHosts: reader.texts('ExtraHosts'),
    GroupAdd: reader.texts('GroupAdd'),
    IpcMode: reader.text('IpcMode', 'container.IpcMode'),
    Cgroup: reader.text('Cgroup', 'container.CgroupSpec'),
    Links: reader.texts('Links'),
    OomScoreAdj: reader.integer('OomScoreAdj', 'int'),
    PidMode: reader.text('PidMode', 'container.PidMode'),
    Privileged: reader.flag('Privileged'),
    PublishAllPorts: reader.flag('PublishAllPorts'),
    ReadonlyRootfs: reader.flag('ReadonlyRootfs'),
    SecurityOpt: reader.texts('SecurityOpt'),
    UTSMode: reader.text('UTSMode', 'container.UTSMode'),
    UsernsMode: reader.text('UsernsMode', 'container.UsernsMode'),
    ShmSize: reader.integer('ShmSize'),
    Runtime: reader.text('Runtime'),
    Isolation: reader.text('Isolation', 'container.Isolation'),
    ...decodeResources(reader.embedded('Resources')),
    ...(mounts === null || mounts.length === 0 ? {} : { Mounts: mounts.map(decodeMount) }),
    MaskedPaths: reader.texts('MaskedPaths'),
    ReadonlyPaths: reader.texts('ReadonlyPaths'),
    ...(init === undefined ? {} : { Init: init }),
  };
}

export function decodeRestartPolicy(reader: BodyReader): RestartPolicy {
  const policy = reader.object('RestartPolicy', 'container.RestartPolicy');
  return {
    Name: policy?.text('Name', 'container.RestartPolicyMode') ?? '',
    MaximumRetryCount: policy?.integer('MaximumRetryCount', 'int') ?? 0,
  };
}

function decodePortBindings(reader: BodyReader): HostConfig['PortBindings'] {
  if ((reader.raw('PortBindings') ?? null) === null) return null;
  const bindings: Record<string, PortBinding[]> = {};
  for (const [port, list] of reader.objectLists('PortBindings', 'nat.PortBinding', 'nat.PortMap'))
    define(
      bindings,
      port,
      list.map((binding) => ({ HostIp: binding.text('HostIp'), HostPort: binding.text('HostPort') })),
    );
  return bindings;
}

export function decodeResources(reader: BodyReader): Resources {
  const rates = (name: string): DeviceValue[] | null =>
    reader
      .objects(name, 'blkiodev.ThrottleDevice', '[]*blkiodev.ThrottleDevice')
      ?.map((item) => ({ Path: item.text('Path'), Rate: item.integer('Rate', 'uint64') })) ?? null;
  return {
    CpuShares: reader.integer('CpuShares'),
    Memory: reader.integer('Memory'),
    NanoCpus: reader.integer('NanoCpus'),
    CgroupParent: reader.text('CgroupParent'),
    BlkioWeight: reader.integer('BlkioWeight', 'uint16'),
    BlkioWeightDevice:
      reader
        .objects('BlkioWeightDevice', 'blkiodev.WeightDevice', '[]*blkiodev.WeightDevice')
        ?.map((item) => ({ Path: item.text('Path'), Weight: item.integer('Weight', 'uint16') })) ?? null,
    BlkioDeviceReadBps: rates('BlkioDeviceReadBps'),
    BlkioDeviceWriteBps: rates('BlkioDeviceWriteBps'),
    BlkioDeviceReadIOps: rates('BlkioDeviceReadIOps'),
    BlkioDeviceWriteIOps: rates('BlkioDeviceWriteIOps'),
    CpuPeriod: reader.integer('CpuPeriod'),
    CpuQuota: reader.integer('CpuQuota'),
    CpuRealtimePeriod: reader.integer('CpuRealtimePeriod'),
    CpuRealtimeRuntime: reader.integer('CpuRealtimeRuntime'),
    CpusetCpus: reader.text('CpusetCpus'),
    CpusetMems: reader.text('CpusetMems'),
    Devices:
      reader.objects('Devices', 'container.DeviceMapping')?.map((item) => ({
        PathOnHost: item.text('PathOnHost'),
        PathInContainer: item.text('PathInContainer'),
        CgroupPermissions: item.text('CgroupPermissions'),
      })) ?? null,
    DeviceCgroupRules: reader.texts('DeviceCgroupRules'),
    DeviceRequests:
      reader.objects('DeviceRequests', 'container.DeviceRequest')?.map((item) => ({
        Driver: item.text('Driver'),
        Count: item.integer('Count', 'int'),
        DeviceIDs: item.texts('DeviceIDs'),
        Capabilities: item.textLists('Capabilities'),
        Options: item.textMap('Options') ?? null,
      })) ?? null,
    MemoryReservation: reader.integer('MemoryReservation'),
    MemorySwap: reader.integer('MemorySwap'),
    MemorySwappiness: reader.optionalInteger('MemorySwappiness') ?? null,
    OomKillDisable: reader.optionalFlag('OomKillDisable') ?? null,
    PidsLimit: reader.optionalInteger('PidsLimit') ?? null,
    Ulimits:
      reader
        .objects('Ulimits', 'units.Ulimit', '[]*units.Ulimit')
        ?.map((item) => ({ Name: item.text('Name'), Hard: item.integer('Hard'), Soft: item.integer('Soft') })) ?? null,
    CpuCount: reader.integer('CpuCount'),
    CpuPercent: reader.integer('CpuPercent'),
    IOMaximumIOps: reader.integer('IOMaximumIOps', 'uint64'),
    IOMaximumBandwidth: reader.integer('IOMaximumBandwidth', 'uint64'),
  };
}

function decodeMount(reader: BodyReader): MountSpec {
  const mount: MountSpec = { Type: reader.text('Type', 'mount.Type'), Target: reader.text('Target') };
  if (reader.text('Source') !== '') mount.Source = reader.text('Source');
  if (reader.flag('ReadOnly')) mount.ReadOnly = true;
  if (reader.text('Consistency', 'mount.Consistency') !== '') mount.Consistency = reader.text('Consistency');
  const bind = reader.object('BindOptions', 'mount.BindOptions');
  if (bind !== undefined) {
    const propagation = bind.text('Propagation', 'mount.Propagation');
    mount.BindOptions = propagation === '' ? {} : { Propagation: propagation };
    for (const name of ['NonRecursive', 'CreateMountpoint', 'ReadOnlyNonRecursive', 'ReadOnlyForceRecursive'] as const)
      if (bind.flag(name)) mount.BindOptions[name] = true;
  }
  const volume = reader.object('VolumeOptions', 'mount.VolumeOptions');
  if (volume !== undefined) mount.VolumeOptions = decodeVolumeOptions(volume);
  const image = reader.object('ImageOptions', 'mount.ImageOptions');
  if (image !== undefined) mount.ImageOptions = image.text('Subpath') === '' ? {} : { Subpath: image.text('Subpath') };
  const tmpfs = reader.object('TmpfsOptions', 'mount.TmpfsOptions');
  if (tmpfs !== undefined) {
    const size = tmpfs.integer('SizeBytes');
    const mode = tmpfs.integer('Mode', 'fs.FileMode');
    const options = tmpfs.textLists('Options');
    mount.TmpfsOptions = {
      ...(size === 0 ? {} : { SizeBytes: size }),
      ...(mode === 0 ? {} : { Mode: mode }),
      ...(options === null ? {} : { Options: options }),
    };
  }
  return mount;
}

function decodeVolumeOptions(reader: BodyReader): NonNullable<MountSpec['VolumeOptions']> {
  const labels = reader.textMap('Labels');
  const driver = reader.object('DriverConfig', 'mount.Driver');
  const options = driver?.textMap('Options');
  return {
    ...(reader.flag('NoCopy') ? { NoCopy: true } : {}),
    ...(labels === undefined ? {} : { Labels: labels }),
    ...(driver === undefined
      ? {}
      : { DriverConfig: { Name: driver.text('Name'), ...(options === undefined ? {} : { Options: options }) } }),
    ...(reader.text('Subpath') === '' ? {} : { Subpath: reader.text('Subpath') }),
  };
}

export function decodeEndpoints(networking: BodyReader | undefined): Record<string, EndpointSettings> {
  const endpoints: Record<string, EndpointSettings> = {};
  for (const [network, reader] of networking?.objectMap('EndpointsConfig', 'network.EndpointSettings') ?? []) {
    if (reader === undefined)
      throw new WherryError('invalid', `invalid config for network ${network}: EndpointsConfig is nil`);
    define(endpoints, network, decodeEndpoint(reader));
  }
  return endpoints;
}

export function decodeEndpoint(reader: BodyReader): EndpointSettings {
  const ipam = reader.object('IPAMConfig', 'network.EndpointIPAMConfig');
  const v4 = ipam?.text('IPv4Address') ?? '';
  const v6 = ipam?.text('IPv6Address') ?? '';
  const local = ipam?.texts('LinkLocalIPs') ?? null;
  return {
    IPAMConfig:
      ipam === undefined
        ? null
        : {
            ...(v4 === '' ? {} : { IPv4Address: v4 }),
            ...(v6 === '' ? {} : { IPv6Address: v6 }),
            ...(local === null ? {} : { LinkLocalIPs: local }),
          },
    Links: reader.texts('Links'),
    Aliases: reader.texts('Aliases'),
    MacAddress: reader.text('MacAddress'),
    DriverOpts: reader.textMap('DriverOpts') ?? null,
    GwPriority: reader.integer('GwPriority', 'int'),
  };
}
