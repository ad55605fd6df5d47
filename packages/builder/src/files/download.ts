import { createHash } from 'node:crypto';
import { createWriteStream, utimesSync } from 'node:fs';
import { join, posix } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { WherryError } from '@wherry/base';
import { fetchAddress, startOfAnswer } from '@wherry/images';

/** What a URL gave, as a file in a folder. */
export interface Download {
  /** Empty when neither the URL nor the answer names it. */
  readonly name: string;
  readonly file: string;
  /** sha256 of the content, in digits. */
  readonly digest: string;
}

/** Bytes of a file that ADD fetches. */
const largestDownload = 32 * 2 ** 30;

export function isUrl(source: string): boolean {
  return /^https?:\/\//.test(source);
}

/** Fetches a URL into a folder. Throws `unavailable` in dockerd's words. */
export async function download(url: string, folder: string, signal: AbortSignal): Promise<Download> {
  const response = await fetchAddress(url, signal);
  if (!response.ok) {
    const body = await startOfAnswer(response).catch(() => '');
    const status = `${response.status} ${response.statusText}`;
    throw new WherryError('unavailable', `failed to GET ${url} with status ${status}: ${body}`);
  }
  const name = fileName(url, response.headers['content-disposition']);
  const file = join(folder, name || '__unnamed__');
  const hash = createHash('sha256');
  let size = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      hash.update(chunk);
      done(size > largestDownload ? new WherryError('tooLarge', `${url} is too large`) : null, chunk);
    },
  });
  await pipeline(
    Readable.from(response.body, { objectMode: false }),
    counted,
    createWriteStream(file, { flags: 'wx', mode: 0o600 }),
    { signal },
  );
  const modified = Date.parse(response.headers['last-modified'] ?? '') || 0;
  utimesSync(file, modified / 1000, modified / 1000);
  return { name, file, digest: hash.digest('hex') };
}

function fileName(url: string, disposition: string | undefined): string {
  const { pathname } = new URL(url);
  const [, quoted, plain = ''] = /filename="?([^";]+)"?|filename=(\S+)/.exec(disposition ?? '') ?? [];
  for (const candidate of [decoded(pathname), quoted ?? plain]) {
    const name = candidate.endsWith('/') ? '' : posix.basename(candidate);
    if (name !== '' && name !== '.' && name !== '..' && !name.includes('\0')) return name;
  }
  return '';
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
