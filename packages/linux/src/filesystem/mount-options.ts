/** What options of mount(8) are to mount(2). */
export interface ParsedMountOptions {
  readonly flags: number;
  /** Flags of a call of its own, after the mount. */
  readonly propagation: number;
  /** What the kernel leaves to the file system, comma-separated. */
  readonly data: string;
}

/** Names that set (or, negative, clear) flags of `linux/mount.h`; mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS". */
const flagsByName: Readonly<Record<string, number>> = {
  defaults: 0,
  ro: 1,
  rw: -1,
  nosuid: 2,
  suid: -2,
  nodev: 4,
  dev: -4,
  noexec: 8,
  exec: -8,
  sync: 16,
  async: -16,
  remount: 32,
  mand: 64,
  nomand: -64,
  dirsync: 128,
  noatime: 1024,
  atime: -1024,
  nodiratime: 2048,
  diratime: -2048,
  bind: 4096,
  rbind: 4096 | 16384,
  relatime: 1 << 21,
  norelatime: -(1 << 21),
  strictatime: 1 << 24,
  nostrictatime: -(1 << 24),
};

const recursive = 16384;
const propagationByName: Readonly<Record<string, number>> = {
  unbindable: 1 << 17,
  runbindable: (1 << 17) | recursive,
  private: 1 << 18,
  rprivate: (1 << 18) | recursive,
  slave: 1 << 19,
  rslave: (1 << 19) | recursive,
  shared: 1 << 20,
  rshared: (1 << 20) | recursive,
};

/** Takes options as mount(8) has them (`ro`, `size=1m`) apart. */
export function parseMountOptions(options: readonly string[]): ParsedMountOptions {
  let flags = 0;
  let propagation = 0;
  const data: string[] = [];
  for (const option of options) {
    if (option === '') continue;
    const flag = Object.hasOwn(flagsByName, option) ? flagsByName[option] : undefined;
    if (flag !== undefined) flags = flag >= 0 ? flags | flag : flags & ~-flag;
    else if (Object.hasOwn(propagationByName, option)) propagation |= propagationByName[option]!;
    else data.push(option);
  }
  return { flags, propagation, data: data.join(',') };
}
