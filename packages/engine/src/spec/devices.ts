import { lstatSync, readdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { WherryError } from '@wherry/base';
import type { DeviceSpec, ResourcesSpec } from '@wherry/oci';
import type { ContainerConfig } from '@wherry/runtime';

export interface ContainerDevices {
  readonly devices: readonly DeviceSpec[];
  readonly rules: NonNullable<ResourcesSpec['devices']>;
}

/** Device nodes of a container beyond the runtime's own (null, zero, tty, …), and who may use what. */
export function devicesOf(config: ContainerConfig): ContainerDevices {
  if (config.security.privileged === true)
    return { devices: hostDevices('/dev'), rules: [{ allow: true, access: 'rwm' }] };
  const devices: DeviceSpec[] = [];
  const rules: { allow: boolean; type?: string; major?: number; minor?: number; access?: string }[] = [
    { allow: false, access: 'rwm' },
  ];
  for (const { hostPath, containerPath, permissions } of config.devices ?? []) {
    if (!/^[rwm]{1,3}$/.test(permissions))
      throw new WherryError('invalid', `device ${hostPath}: permissions ${JSON.stringify(permissions)}`);
    const device = deviceAt(hostPath, containerPath, (path) => statSync(path));
    if (device === undefined) throw new WherryError('invalid', `${hostPath} is not a device`);
    devices.push(device);
    rules.push({ allow: true, type: device.type, major: device.major, minor: device.minor, access: permissions });
  }
  return { devices, rules };
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
    throw new WherryError('notFound', `there is no device ${hostPath}`, { cause: error });
  }
  if (!status.isCharacterDevice() && !status.isBlockDevice()) return undefined;
  // makedev(3): twelve bits of major, twenty of minor as the kernel interleaves them.
  const number = BigInt(status.rdev);
  const major = Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn));
  const minor = Number((number & 0xffn) | ((number >> 12n) & ~0xffn));
  const type = status.isBlockDevice() ? 'b' : 'c';
  return { path, type, major, minor, fileMode: status.mode & 0o777, uid: status.uid, gid: status.gid };
}
