import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, type Logger, otherVersion, setAside, WherryError, writeFileAtomically } from '@wherry/base';
import { readNetworkSysctl, writeNetworkSysctl } from '@wherry/linux';

interface StateFile {
  readonly version: 1;
  readonly bridge: string;
  readonly podCidr: string;
  /** Values before ours, of the settings that were changed. */
  readonly sysctls: Readonly<Record<string, string>>;
}

const version = 1;
const fileName = 'network.json';

/** What a network changed on the node beyond its own interfaces, kept on disk so that it can be put back after a crash. */
export class NodeState {
  readonly #path: string;
  readonly #netns: string | undefined;
  #state: StateFile;

  private constructor(path: string, netns: string | undefined, state: StateFile) {
    this.#path = path;
    this.#netns = netns;
    this.#state = state;
  }

  /** Throws `conflict` when the folder belongs to a network with another bridge or range, `unsupported` for another version. */
  static async open(
    directory: string,
    { bridge, podCidr, netns, log }: { bridge: string; podCidr: string; netns: string | undefined; log: Logger },
  ): Promise<NodeState> {
    const path = join(directory, fileName);
    const state = (await read(path, log)) ?? { version: 1, bridge, podCidr, sysctls: {} };
    if (state.bridge !== bridge || state.podCidr !== podCidr) {
      const which = `bridge ${state.bridge} with ${state.podCidr}`;
      throw new WherryError('conflict', `${directory} belongs to ${which}, not to ${bridge} with ${podCidr}`);
    }
    const result = new NodeState(path, netns, state);
    await result.#save();
    return result;
  }

  /** Sets a sysctl of the node and remembers what it was. */
  async setSysctl(name: string, value: string): Promise<void> {
    const before = readNetworkSysctl(name, this.#netns);
    if (before === value) return;
    if (before !== undefined && !(name in this.#state.sysctls)) {
      this.#state = { ...this.#state, sysctls: { ...this.#state.sysctls, [name]: before } };
      await this.#save();
    }
    writeNetworkSysctl(name, value, this.#netns);
  }

  /** Puts the sysctls back. */
  restoreSysctls(): void {
    for (const [name, value] of Object.entries(this.#state.sysctls)) writeNetworkSysctl(name, value, this.#netns);
  }

  #save(): Promise<void> {
    return writeFileAtomically(this.#path, JSON.stringify(this.#state, null, 2) + '\n');
  }
}

async function read(path: string, log: Logger): Promise<StateFile | undefined> {
  let state: StateFile;
  try {
    state = JSON.parse(await readFile(path, 'utf8')) as StateFile;
    if (typeof state !== 'object' || state === null) throw new WherryError('corrupt', 'no record');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') await setAside(path, log, error);
    return undefined;
  }
  if (state.version !== version) throw otherVersion(path, state.version, version);
  return state;
}
