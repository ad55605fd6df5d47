export interface IdMapping {
  readonly containerId: number;
  readonly hostId: number;
  readonly size: number;
}

/** Users and groups of a user namespace, as the machine numbers them (user_namespaces(7)). */
export interface UserMappings {
  readonly uidMappings: readonly IdMapping[];
  readonly gidMappings: readonly IdMapping[];
}

/** Who shows for what is not mapped: `kernel.overflowuid`. */
const nobody = 65_534;

/** The number that a container knows a user or group of the machine by. */
export function idInContainer(mappings: readonly IdMapping[], id: number): number {
  const found = mappings.find(({ hostId, size }) => id >= hostId && id < hostId + size);
  return found === undefined ? nobody : id - found.hostId + found.containerId;
}

/** The user and group on the machine that are a container's root; the machine's own without mappings. */
export function rootOf(users: UserMappings | undefined): readonly [uid: number, gid: number] {
  if (users === undefined) return [0, 0];
  return [idOnHost(users.uidMappings, 0) ?? 0, idOnHost(users.gidMappings, 0) ?? 0];
}

/** The number of a container's user or group on the machine; `undefined` for one that is not mapped. */
export function idOnHost(mappings: readonly IdMapping[], id: number): number | undefined {
  const found = mappings.find(({ containerId, size }) => id >= containerId && id < containerId + size);
  return found === undefined ? undefined : id - found.containerId + found.hostId;
}
