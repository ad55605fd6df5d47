import { lstatSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { WherryError } from '@wherry/base';
import { numbersOfDevice } from '@wherry/linux';
import type { DeviceSpec, ResourcesSpec } from '@wherry/oci';
import type { ContainerConfig } from '@wherry/runtime';
import { errorText } from '../runtime/failures.ts';

export interface ContainerDevices {
  readonly devices: readonly DeviceSpec[];
  readonly rules: NonNullable<ResourcesSpec['devices']>;
}

type DeviceRule = NonNullable<ResourcesSpec['devices']>[number];

/** Device nodes of a container beyond the runtime's own (null, zero, tty, …), and who may use what. */
export function devicesOf(config: ContainerConfig): ContainerDevices {
  const given = (config.devices ?? []).map(givenDevices);
  if (config.security.privileged === true) {
    const devices = new Map(hostDevices('/dev').map((device) => [device.path, device]));
    for (const device of given.flatMap((each) => each.devices)) devices.set(device.path, device);
    return { devices: [...devices.values()], rules: [{ allow: true, access: 'rwm' }] };
  }
  return {
    devices: given.flatMap((each) => each.devices),
    rules: [
      { allow: false, access: 'rwm' },
      ...given.flatMap((each) => each.rules),
      ...(config.deviceCgroupRules ?? []).map(deviceRule),
    ],
  };
}

/** A device, or all below a folder of them. */
function givenDevices({ hostPath, containerPath, permissions }: NonNullable<ContainerConfig['devices']>[number]): {
  readonly devices: readonly DeviceSpec[];
  readonly rules: readonly DeviceRule[];
} {
  if (!/^[rwm]{1,3}$/.test(permissions))
    throw new WherryError('invalid', `device ${hostPath}: permissions ${JSON.stringify(permissions)}`);
  const single = deviceAt(hostPath, containerPath, (path) => statSync(path));
  const devices = single === undefined ? devicesBelow(hostPath, containerPath) : [single];
  if (devices.length === 0) throw unusable('invalid', hostPath, 'not a device node');
  const rules = devices.map(({ type, major, minor }) => ({ allow: true, type, major, minor, access: permissions }));
  return { devices, rules };
}

function devicesBelow(hostPath: string, containerPath: string): DeviceSpec[] {
  const folder = realpathSync(hostPath);
  if (!statSync(folder).isDirectory()) return [];
  return hostDevices(folder).map((device) => ({ ...device, path: join(containerPath, relative(folder, device.path)) }));
}

/** `c 1:3 rwm`, `b 8:* r`, `a *:* rwm` (cgroup v1's `devices.allow`). */
function deviceRule(text: string): DeviceRule {
  const match = /^([abc]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text);
  if (match === null) throw new WherryError('invalid', `invalid device cgroup format ${JSON.stringify(text)}`);
  const [, type = 'a', major = '*', minor = '*', access = 'rwm'] = match;
  return {
    allow: true,
    type,
    ...(major === '*' ? {} : { major: Number(major) }),
    ...(minor === '*' ? {} : { minor: Number(minor) }),
    access,
  };
}

/** In dockerd's words, which containerd's resemble. */
function unusable(code: 'invalid' | 'notFound', path: string, why: string, cause?: unknown): WherryError {
  const message = `error gathering device information while adding custom device ${JSON.stringify(path)}: ${why}`;
  return new WherryError(code, message, { cause });
}

/** These the runtime or our mounts provide. */
const notTaken = new Set(['pts', 'shm', 'fd', 'mqueue', 'console', 'ptmx', 'stdin', 'stdout', 'stderr']);

function hostDevices(folder: string): DeviceSpec[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (folder === '/dev' && notTaken.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return hostDevices(path);
    if (!entry.isCharacterDevice() && !entry.isBlockDevice()) return [];
    return deviceAt(path, path, (name) => lstatSync(name)) ?? [];
  });
}

function deviceAt(hostPath: string, path: string, look: (path: string) => Stats): DeviceSpec | undefined {
  let status: Stats;
  try {
    status = look(hostPath);
  } catch (error) {
    throw unusable('notFound', hostPath, errorText(error), error);
  }
  if (!status.isCharacterDevice() && !status.isBlockDevice()) return undefined;
  const { major, minor } = numbersOfDevice(status.rdev);
  const type = status.isBlockDevice() ? 'b' : 'c';
  return { path, type, major, minor, fileMode: status.mode & 0o777, uid: status.uid, gid: status.gid };
}
