import { mkdirSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { Readable } from 'node:stream';
import { codeOf, type Logger, messageOf, peek, type Random, removeTree, WherryError } from '@wherry/base';
import { type Builder, cloneRepository, isGitAddress } from '@wherry/builder';
import { decompressed } from '@wherry/images';
import { readFileBeneath } from '@wherry/linux';
import { readText } from '../http/body.ts';
import { fetchContent } from '../http/fetch-content.ts';

/** A build's context on disk, removed when it is disposed. */
export interface BuildContext extends AsyncDisposable {
  readonly folder: string;
  readonly dockerfile: string;
  /** Its path in the context. */
  readonly dockerfileName: string;
}

export interface ContextSource {
  /** An archive, compressed or not. */
  readonly body: Readable;
  /** An address instead of the body: of an archive, or of a Dockerfile alone. */
  readonly remote: string;
  readonly dockerfile: string;
  readonly signal: AbortSignal;
}

type ContextBuilder = Pick<Builder, 'unpackContext'>;

const largestDockerfile = 4 * 1024 * 1024;
const defaultName = 'Dockerfile';
const prefix = 'build-';
const tarBlock = 512;

/** Build contexts in folders of one's own. */
export class BuildContexts {
  readonly #directory: string;
  readonly #random: Random;
  readonly #log: Logger;

  constructor(directory: string, random: Random, log: Logger) {
    this.#directory = directory;
    this.#random = random;
    this.#log = log;
  }

  /** Removes what builds of a process that was killed left. */
  async cleanUp(): Promise<void> {
    const names = await readdir(this.#directory).catch(() => []);
    for (const name of names.filter((other) => other.startsWith(prefix)))
      await this.#remove(join(this.#directory, name));
  }

  /** Throws `invalid`, `unsupported`, `tooLarge`, `internal` (no such Dockerfile, in dockerd's words). */
  async open(source: ContextSource, builder: ContextBuilder): Promise<BuildContext> {
    const folder = join(this.#directory, prefix + this.#random.hex(16));
    // At once: a thread would be asked for longer than it takes.
    mkdirSync(folder, { mode: 0o700, recursive: true });
    try {
      const { root = folder, name, text } = await this.#fill(folder, source, builder);
      if (text === '') throw new WherryError('invalid', `the Dockerfile (${name}) cannot be empty`);
      return {
        folder: root,
        dockerfile: text,
        dockerfileName: name,
        [Symbol.asyncDispose]: () => this.#remove(folder),
      };
    } catch (error) {
      await this.#remove(folder);
      throw error;
    }
  }

  async #fill(
    folder: string,
    { body, remote, dockerfile, signal }: ContextSource,
    builder: ContextBuilder,
  ): Promise<{ name: string; text: string; root?: string }> {
    if (remote === '') {
      await builder.unpackContext(body, folder, signal);
      return await readDockerfile(folder, dockerfile || defaultName);
    }
    if (isGitAddress(remote)) {
      const repository = await cloneRepository(remote, folder, { keepsHistory: true, signal });
      return { root: repository.folder, ...(await readDockerfile(repository.folder, dockerfile || defaultName)) };
    }
    if (!/^https?:\/\//.test(remote))
      throw new WherryError('internal', `remoteURL (${remote}) could not be recognized as URL`);
    const content = decompressed(await download(remote, signal));
    const { first, whole } = await peek(content, tarBlock);
    if (!isTar(first))
      return {
        name: defaultName,
        text: await readText(Readable.from(whole, { objectMode: false }), largestDockerfile),
      };
    await builder.unpackContext(whole, folder, signal);
    return await readDockerfile(folder, dockerfile || defaultName);
  }

  async #remove(folder: string): Promise<void> {
    try {
      await removeTree(folder);
    } catch (error) {
      this.#log.warn('a build context could not be removed', { folder, error: messageOf(error) });
    }
  }
}

async function download(remote: string, signal: AbortSignal): ReturnType<typeof fetchContent> {
  try {
    return await fetchContent(remote, signal);
  } catch (error) {
    const words = `error downloading remote context ${remote}: ${messageOf(error)}`;
    throw new WherryError(codeOf(error) ?? 'internal', words, { cause: error });
  }
}

/** `dockerfile` is taken for `Dockerfile` where that is not there. */
async function readDockerfile(folder: string, name: string): Promise<{ name: string; text: string }> {
  if (/^\.\.(?:\/|$)/.test(posix.normalize(name.replace(/^\/+/, ''))))
    throw new WherryError('internal', `forbidden path outside the build context: ${name} ()`);
  for (const candidate of name === defaultName ? [name, name.toLowerCase()] : [name]) {
    const content = readCandidate(folder, candidate);
    if (content !== undefined) return { name: candidate, text: content.toString('utf8') };
  }
  throw new WherryError('internal', `Cannot locate specified Dockerfile: ${name}`);
}

function readCandidate(folder: string, name: string): Buffer | undefined {
  try {
    return readFileBeneath(folder, name, largestDockerfile);
  } catch (error) {
    if (!/not a regular file/.test(messageOf(error))) throw error;
    throw new WherryError('internal', `unexpected error reading Dockerfile: read ${name}: is a directory`);
  }
}

/** POSIX and GNU archives say so at byte 257. */
function isTar(piece: Buffer): boolean {
  return piece.length >= tarBlock && piece.toString('latin1', 257, 262) === 'ustar';
}
