/** Docker's volumes of the local driver: folders by name, or file systems mounted while somebody uses them. */
export interface NamedVolumes extends AsyncDisposable {
  /** Makes a volume; one of the same name is given back as it is, as dockerd does. Throws `invalid`, `notFound` (driver). */
  create(request: CreateVolume): Promise<VolumeRecord>;
  find(name: string): VolumeRecord | undefined;
  list(): readonly VolumeRecord[];
  /** Removes a volume and its content. Throws `notFound`; `conflict` while it is in use. */
  remove(name: string, options?: { readonly force?: boolean }): Promise<void>;
  /** Bytes below it, by walking; `undefined` for one with mount options. */
  size(name: string): Promise<number | undefined>;

  /**
   * A user (a container's id) takes hold of a volume: it cannot be removed. Survives a restart. The second call gives
   * the same.
   */
  hold(name: string, user: string): Promise<void>;
  release(name: string, user: string): Promise<void>;
  users(name: string): readonly string[];
  /** The folder to mount into a container, with the volume's own file system mounted there. */
  mount(name: string, user: string): Promise<string>;
  /** The user's container has ended; a file system without users is unmounted. Idempotent. */
  unmount(name: string, user: string): Promise<void>;
  /**
   * Fills an empty volume with what an image has at that place: content, owners, modes, extended
   * attributes. `source` is opened beneath `root`, so links in an image lead nowhere else.
   */
  copyUp(name: string, root: string, source: string): Promise<void>;
  /** Gives up the holds of users that are no more (after a crash). */
  reconcile(users: ReadonlySet<string>): Promise<void>;
}

export interface CreateVolume {
  /** Default: 64 random hexadecimal digits. */
  readonly name?: string | undefined;
  readonly driver?: string | undefined; // local
  /** `type`, `device`, `o`, as the local driver takes them. */
  readonly options?: Readonly<Record<string, string>> | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Made for a container that names none: goes with it. */
  readonly anonymous?: boolean | undefined;
  /** Holds it from its first moment on, as by `hold`. */
  readonly user?: string | undefined;
}

export interface VolumeRecord {
  readonly name: string;
  readonly driver: 'local';
  readonly mountpoint: string;
  readonly createdAt: number; // ms
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly anonymous: boolean;
}
