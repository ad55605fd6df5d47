import { renameSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, type Logger, otherVersion, setAside, syncPath, WherryError, writeFileAtomically } from '@wherry/base';
import type { EndpointRecord, NetworkRecord, PublishedPort } from '../container-networks.ts';

/** An endpoint as it is on disk. */
export interface EndpointFile {
  readonly record: EndpointRecord;
  /** Path of the namespace in which its interface is; `undefined` while only the address is set aside. */
  readonly netns: string | undefined;
}

/** Ports of a container as they are on disk. */
export interface PortsFile {
  readonly containerId: string;
  readonly ports: readonly PublishedPort[];
}

/** Where a container's name server listens in its namespace: the rules there lead to this port. */
export interface NamesFile {
  readonly containerId: string;
  readonly netns: string;
  readonly port: number;
}

/** What was changed on the machine, and what was chosen once. */
export interface MachineFile {
  /** Values before ours. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** The range out of which IPv6 subnets are chosen (RFC 4193). */
  readonly ipv6Base: string | undefined;
}

const version = 1;
const kinds = ['networks', 'endpoints', 'ports', 'names'] as const;
type Kind = (typeof kinds)[number];

interface Content {
  readonly networks: NetworkRecord;
  readonly endpoints: EndpointFile;
  readonly ports: PortsFile;
  readonly names: NamesFile;
}

/**
 * The records of networks, endpoints, ports and name servers: one file each, replaced whole.
 */
export class NetworkRecords {
  readonly #directory: string;
  readonly #log: Logger;

  private constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  static async open(directory: string, log: Logger): Promise<NetworkRecords> {
    for (const kind of kinds) await mkdir(join(directory, kind), { recursive: true, mode: 0o700 });
    return new NetworkRecords(directory, log);
  }

  /** All of a kind. Those that cannot be read are put aside. Throws `unsupported` for another version. */
  async load<K extends Kind>(kind: K): Promise<Content[K][]> {
    const folder = join(this.#directory, kind);
    const names = (await readdir(folder)).filter((name) => /\.(json|tmp)$/.test(name));
    const loaded = await Promise.all(names.map((name) => this.#read<K>(join(folder, name))));
    return loaded.filter((content) => content !== undefined);
  }

  async #read<K extends Kind>(path: string): Promise<Content[K] | undefined> {
    // Left by a kill while it was written.
    if (path.endsWith('.tmp')) {
      await rm(path, { force: true });
      return undefined;
    }
    let content: { version?: unknown; content?: Content[K] };
    try {
      content = JSON.parse(await readFile(path, 'utf8')) as typeof content;
      if (typeof content !== 'object' || content === null) throw new WherryError('corrupt', 'no record');
    } catch (error) {
      await setAside(path, this.#log, error);
      return undefined;
    }
    if (content.version !== version) throw otherVersion(path, content.version, version);
    return content.content;
  }

  /** Flushed to the disk. */
  async write(id: string, content: NetworkRecord): Promise<void> {
    await writeFileAtomically(this.#path('networks', id), textOf(content));
  }

  /** At once, in a tenth of a millisecond, and not flushed: a power loss takes the containers along. */
  writeNow<K extends Exclude<Kind, 'networks'>>(kind: K, id: string, content: Content[K]): void {
    const path = this.#path(kind, id);
    writeFileSync(`${path}.tmp`, textOf(content), { mode: 0o600 });
    renameSync(`${path}.tmp`, path);
  }

  /** For networks flushed to the disk: what a user removed does not come back with a power loss. */
  async remove(kind: Kind, id: string): Promise<void> {
    await rm(this.#path(kind, id), { force: true });
    if (kind === 'networks') await syncPath(join(this.#directory, kind));
  }

  async machine(): Promise<MachineFile> {
    const path = join(this.#directory, 'machine.json');
    let found: { readonly version: unknown; readonly content: MachineFile };
    try {
      found = JSON.parse(await readFile(path, 'utf8')) as typeof found;
      if (typeof found !== 'object' || found === null) throw new WherryError('corrupt', 'no record');
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') await setAside(path, this.#log, error);
      return { sysctls: {}, ipv6Base: undefined };
    }
    if (found.version !== version) throw otherVersion(path, found.version, version);
    return found.content;
  }

  async writeMachine(content: MachineFile): Promise<void> {
    const path = join(this.#directory, 'machine.json');
    await writeFileAtomically(path, `${JSON.stringify({ version, content }, null, 2)}\n`);
  }

  #path(kind: Kind, id: string): string {
    if (!/^[0-9a-zA-Z][0-9a-zA-Z_.-]{0,127}$/.test(id)) throw new WherryError('invalid', `"${id}" is not an id`);
    return join(this.#directory, kind, `${id}.json`);
  }
}

function textOf(content: unknown): string {
  return `${JSON.stringify({ version, content })}\n`;
}
