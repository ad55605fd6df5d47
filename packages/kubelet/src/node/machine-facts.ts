import { readFile, statfs } from 'node:fs/promises';
import { arch, availableParallelism, release } from 'node:os';

/** What a node says about its machine. Bytes where not said otherwise. */
export interface MachineFacts {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly storageBytes: number;
  readonly machineId: string;
  readonly systemUuid: string;
  readonly bootId: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  /** In Go's words: `amd64`, `arm64`. */
  readonly architecture: string;
}

const architectures: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ppc64: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
};

/** Reads the facts of this machine; `storagePath` is where pods and images live. */
export async function readMachineFacts(storagePath: string): Promise<MachineFacts> {
  const [meminfo, machineId, uuid, bootId, osRelease, storage] = await Promise.all([
    text('/proc/meminfo'),
    text('/etc/machine-id'),
    text('/sys/class/dmi/id/product_uuid'),
    text('/proc/sys/kernel/random/boot_id'),
    text('/etc/os-release'),
    statfs(storagePath).catch(() => undefined),
  ]);
  const id = machineId || bootId.replaceAll('-', '');
  return {
    cpus: availableParallelism(),
    memoryBytes: Number(/^MemTotal:\s+(\d+) kB/m.exec(meminfo)?.[1] ?? 0) * 1024,
    storageBytes: storage === undefined ? 0 : storage.blocks * storage.bsize,
    machineId: id,
    systemUuid: uuid || id,
    bootId,
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)"?/m.exec(osRelease)?.[1] ?? 'Linux',
    architecture: architectures[arch()] ?? arch(),
  };
}

async function text(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch {
    return '';
  }
}
