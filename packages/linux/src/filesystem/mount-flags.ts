/** Flags of mount(2) (`linux/mount.h`). */
export const mountFlags = {
  readOnly: 1,
  noSetUid: 2,
  noDevices: 4,
  noExecute: 8,
  remount: 32,
  noAccessTime: 1024,
  bind: 4096,
  recursive: 16384,
  silent: 32768,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relativeAccessTime: 1 << 21,
} as const;

/** Flags of umount2(2). */
export const unmountFlags = { force: 1, detach: 2, expire: 4, noFollow: 8 } as const;
