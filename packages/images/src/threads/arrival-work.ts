import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { type TaskContext, WherryError } from '@wherry/base';
import { patientReceiver } from '@wherry/linux';
import { decompressed } from '../content/compression.ts';
import { unframed } from '../content/connection-body.ts';
import type { TarHeader } from '../tar/tar-entry.ts';
import { readTar, type TarBody } from '../tar/tar-reader.ts';
import {
  type ArrivalProgress,
  type ArrivalRequest,
  type ArrivedMember,
  type BodyConnection,
  mostAround,
} from './arrival-task.ts';
import { type LargeFileTarget, LargeFileWriter } from './large-file-writer.ts';

/** Files, folders and links. */
const mostMembers = 20_000;
const longestName = 4096;
/** Files up to this size need no file of ours until it is known what they are, as long as they are not too many. */
const smallFile = 64 * 1024;
const mostInMemory = 16 * 1024 * 1024;

/** Reads an archive or a layer to its end. Throws `tooLarge`, `corrupt`, `exhausted`. */
export async function arrive(
  request: ArrivalRequest,
  { input, throwIfCancelled, report }: TaskContext<ArrivalProgress>,
): Promise<readonly ArrivedMember[]> {
  const { from, kind } = request;
  const source =
    from === undefined
      ? input({ isReused: true })
      : typeof from === 'string'
        ? createReadStream(from, { highWaterMark: 512 * 1024 })
        : unframed(received(from, throwIfCancelled), from.framing);
  const writer = new ArrivalWriter(request, { throwIfCancelled, report });
  const plain = decompressed(source, { isAlone: true });
  return kind === 'archive' ? await writer.archive(plain) : [await writer.layer(plain)];
}

const pieceSize = 512 * 1024;

/** What comes over a connection, in the same memory all the time. */
async function* received(
  { descriptor, read }: BodyConnection,
  throwIfCancelled: () => void,
): AsyncGenerator<Buffer, void, undefined> {
  if (read.length > 0) yield Buffer.from(read.buffer, read.byteOffset, read.byteLength);
  const next = patientReceiver(descriptor, { throwIfCancelled });
  const buffer = Buffer.allocUnsafeSlow(pieceSize);
  for (let count = next(buffer); count; count = next(buffer)) yield buffer.subarray(0, count);
}

class ArrivalWriter {
  readonly #request: ArrivalRequest;
  readonly #context: Pick<TaskContext<ArrivalProgress>, 'throwIfCancelled' | 'report'>;
  #files = 0;
  #inMemory = 0;

  constructor(request: ArrivalRequest, context: Pick<TaskContext<ArrivalProgress>, 'throwIfCancelled' | 'report'>) {
    this.#request = request;
    this.#context = context;
  }

  async archive(plain: AsyncIterable<Uint8Array>): Promise<ArrivedMember[]> {
    const { largest } = this.#request;
    const members: ArrivedMember[] = [];
    let total = 0;
    for await (const { header, body } of readTar(this.#bounded(plain, largest + mostAround))) {
      const { name, type, linkName, size } = header;
      total += size;
      if (total > largest) throw tooLarge(largest);
      if (members.length === mostMembers) {
        throw new WherryError('tooLarge', `an archive of more than ${mostMembers} files`);
      }
      if (name.length > longestName || linkName.length > longestName) {
        throw new WherryError('tooLarge', `a name of more than ${longestName} bytes in an archive`);
      }
      if (type === 'file') members.push({ name, type, linkName, size, ...(await this.#content(header, body)) });
      else if (type === 'link' || type === 'symlink' || type === 'directory')
        members.push({ name, type, linkName, size });
    }
    return members;
  }

  async layer(plain: AsyncIterable<Uint8Array>): Promise<ArrivedMember> {
    const { largest } = this.#request;
    using writer = new LargeFileWriter(this.#target(undefined), this.#context.report);
    for await (const piece of this.#bounded(plain, largest, 'a layer'))
      writer.write(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    return { name: '', type: 'file', linkName: '', size: writer.size, file: writer.end() };
  }

  async #content({ name, size }: TarHeader, body: TarBody): Promise<Pick<ArrivedMember, 'content' | 'file'>> {
    if (size <= smallFile && this.#inMemory + size <= mostInMemory) {
      this.#inMemory += size;
      const pieces: Buffer[] = [];
      for await (const piece of body) pieces.push(Buffer.from(piece));
      return { content: Buffer.concat(pieces) };
    }
    using writer = new LargeFileWriter(this.#target({ name, size }), this.#context.report);
    for await (const piece of body) writer.write(piece);
    return { file: writer.end() };
  }

  #target(member: { readonly name: string; readonly size: number } | undefined): LargeFileTarget {
    const { folder, known } = this.#request;
    const number = this.#files++;
    const hexes = member?.name.match(/[0-9a-f]{64,128}/g) ?? [];
    return {
      number,
      path: join(folder, String(number)),
      size: member?.size,
      twins: (member && known.stored.get(member.size)) ?? [],
      isLikelyHere: hexes.some((hex) => known.names.has(hex)),
    };
  }

  /** A small stream may unpack to any size, and go on behind the archive's end. */
  async *#bounded(
    source: AsyncIterable<Uint8Array>,
    most: number,
    what?: string,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    let length = 0;
    for await (const chunk of source) {
      this.#context.throwIfCancelled();
      length += chunk.length;
      if (length > most) throw tooLarge(this.#request.largest, what);
      yield chunk;
    }
  }
}

function tooLarge(largest: number, what = 'an archive'): WherryError {
  return new WherryError('tooLarge', `${what} of more than ${largest} bytes`);
}
