/** Kinds of namespaces with their file below `/proc/<pid>/ns` and their flag for unshare(2) and setns(2). */
export const namespaceFlags = {
  mnt: 0x00020000,
  cgroup: 0x02000000,
  uts: 0x04000000,
  ipc: 0x08000000,
  user: 0x10000000,
  pid: 0x20000000,
  net: 0x40000000,
} as const;

export type NamespaceKind = keyof typeof namespaceFlags;
/** Those that one thread of a running process may leave and re-enter. */
export type SwitchableNamespace = 'net' | 'ipc' | 'uts';
