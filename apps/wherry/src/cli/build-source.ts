import { readFile, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { errnoOf, messageOf, peek, systemRandom, WherryError } from '@wherry/base';

/** What a build is made of, as it goes to the daemon. */
export interface BuildSource {
  /** What the daemon fetches by itself. */
  readonly remote: string | undefined;
  readonly archive: AsyncIterable<Uint8Array> | undefined;
  /** Within the context. */
  readonly dockerfileName: string;
}

const largestDockerfile = 4 * 1024 * 1024;
const tarBlock = 512;

/** Finds out what `PATH|URL|-` and `--file` mean, as docker's client does. Throws `invalid`, `notFound`. */
export async function openBuildSource({
  where,
  file,
  stdin,
}: {
  readonly where: string;
  readonly file: string | undefined;
  readonly stdin: Readable;
}): Promise<BuildSource> {
  if (where === '-') {
    if (file === '-')
      throw new WherryError('invalid', 'invalid argument: standard input is either the context or the Dockerfile');
    return await ofStandardInput(stdin, file);
  }
  if (/^(?:https?:\/\/|git:\/\/|git@|github\.com\/)/.test(where)) {
    if (file === '-') throw new WherryError('invalid', 'invalid argument: a remote context brings its own Dockerfile');
    return { remote: where, archive: undefined, dockerfileName: file ?? '' };
  }
  return await ofFolder(resolve(where), file, stdin);
}

/** An archive as it is, or a Dockerfile without a context. */
async function ofStandardInput(stdin: Readable, file: string | undefined): Promise<BuildSource> {
  const { first, whole } = await peek(stdin, tarBlock);
  if (first.length === 0)
    throw new WherryError('invalid', 'no argument on standard input: neither an archive nor a Dockerfile');
  if (isArchive(first)) return { remote: undefined, archive: whole, dockerfileName: file ?? '' };
  const { packDockerfile } = await import('@wherry/builder');
  const content = await readAll(whole, largestDockerfile);
  return { remote: undefined, archive: packDockerfile('Dockerfile', content), dockerfileName: 'Dockerfile' };
}

async function ofFolder(folder: string, file: string | undefined, stdin: Readable): Promise<BuildSource> {
  const { packContext } = await import('@wherry/builder');
  const status = await stat(folder).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') throw new WherryError('notFound', `path ${JSON.stringify(folder)} not found`);
    throw error;
  });
  if (!status.isDirectory()) throw new WherryError('invalid', `context must be a directory: ${folder}`);
  if (file !== '-') {
    const path = file === undefined ? join(folder, 'Dockerfile') : resolve(file);
    const within = relative(folder, path);
    const isWithin = within !== '' && !isAbsolute(within) && within.split('/')[0] !== '..';
    if (isWithin)
      return { remote: undefined, archive: packContext(folder, { dockerfileName: within }), dockerfileName: within };
  }
  const dockerfile =
    file === '-' ? await readAll(stdin, largestDockerfile) : await readFile(resolve(file!)).catch(unreadable);
  // A name that is no file's of the context.
  const dockerfileName = `.dockerfile.${systemRandom.hex(10)}`;
  return { remote: undefined, archive: packContext(folder, { dockerfileName, dockerfile }), dockerfileName };
}

function unreadable(error: unknown): never {
  throw new WherryError('notFound', `the Dockerfile cannot be read: ${messageOf(error)}`, { cause: error });
}

/** A tar archive, plain or compressed, as docker's client knows them. */
function isArchive(first: Buffer): boolean {
  const hex = first.toString('hex', 0, 6);
  if (/^(?:1f8b08|425a68|fd377a585a00|28b52ffd)/.test(hex)) return true;
  return first.length >= tarBlock && first.toString('latin1', 257, 262) === 'ustar';
}

async function readAll(stream: AsyncIterable<Uint8Array>, largest: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > largest) throw new WherryError('tooLarge', `a Dockerfile of more than ${largest} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
