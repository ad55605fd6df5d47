import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import type { TarHeader } from './tar-entry.ts';
import { readTar } from './tar-reader.ts';
import { type TarInput, writeTar } from './tar-writer.ts';

const noXattrs = new Map<string, Buffer>();
const plain = { mode: 0o644, uid: 0, gid: 0, mtime: 0, linkName: '', major: 0, minor: 0, size: 0, xattrs: noXattrs };

async function pack(...entries: TarInput[]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of writeTar(entries)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* inPieces(content: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

async function unpack(content: Buffer, pieceSize = 700): Promise<{ header: TarHeader; text: string }[]> {
  const found: { header: TarHeader; text: string }[] = [];
  for await (const { header, body } of readTar(inPieces(content, pieceSize))) {
    let text = '';
    for await (const piece of body) text += piece.toString();
    found.push({ header, text });
  }
  return found;
}

describe('tar', () => {
  const long = `${'folder/'.repeat(40)}file`;
  const entries: TarInput[] = [
    { name: 'd', type: 'directory', mode: 0o1777, mtime: 12 },
    { name: 'f', type: 'file', mode: 0o4755, uid: 3_000_000, gid: 4_294_967_294, content: Buffer.from('content') },
    { name: long, type: 'file', mode: 0o600, content: Buffer.alloc(2000, 'x') },
    { name: 'é', type: 'symlink', mode: 0o777, linkName: `/${long}` },
    { name: 'h', type: 'link', mode: 0o644, linkName: 'f' },
    { name: 'c', type: 'character', mode: 0o666, major: 1, minor: 3 },
    { name: 'p', type: 'fifo', mode: 0o600, mtime: 1.5 },
    { name: 'x', type: 'file', mode: 0o644, xattrs: new Map([['user.k', Buffer.from('v=1\n')]]), content: Buffer.of() },
  ];

  it('reads what it writes, however the stream is cut', async () => {
    const archive = await pack(...entries);
    for (const size of [1, 511, 512, 513, 100_000]) {
      const read = await unpack(archive, size);
      expect(read.map(({ header }) => header)).toEqual(
        entries.map(({ content, ...entry }) => ({
          ...plain,
          ...entry,
          name: entry.type === 'directory' ? 'd/' : entry.name,
          size: content ? (content as Buffer).length : 0,
        })),
      );
      expect(read[1]!.text).toBe('content');
      expect(read[2]!.text).toHaveLength(2000);
    }
  });

  it('is read alike by GNU tar', async () => {
    const list = execFileSync('tar', ['-tvf', '-', '--numeric-owner'], {
      input: await pack(...entries),
      env: { TZ: 'UTC', PATH: process.env.PATH },
    });
    const lines = list.toString().trim().split('\n');
    expect(lines).toHaveLength(entries.length);
    expect(lines[0]).toMatch(/^drwxrwxrwt 0\/0 +0 1970-01-01 00:00 d\/$/);
    expect(lines[1]).toMatch(/^-rwsr-xr-x 3000000\/4294967294 +7 /);
    expect(lines[2]).toContain(` ${long}`);
    expect(lines[5]).toMatch(/^crw-rw-rw- 0\/0 +1,3 /);
  });

  it('skips what the consumer does not read', async () => {
    const names: string[] = [];
    for await (const { header } of readTar(inPieces(await pack(...entries), 300))) names.push(header.name);
    expect(names).toHaveLength(entries.length);
  });

  it('refuses broken archives', async () => {
    const archive = await pack(...entries);
    const flipped = Buffer.from(archive);
    flipped[3]! ^= 1;
    for (const broken of [flipped, archive.subarray(0, 700), archive.subarray(0, 1500), Buffer.alloc(600, 'x')]) {
      await expect(unpack(broken)).rejects.toMatchObject({ code: 'corrupt' });
    }
  });

  it('bounds headers', async () => {
    const archive = await pack({ name: 'x'.repeat(2_000_000), type: 'file', mode: 0, content: Buffer.of() });
    await expect(unpack(archive)).rejects.toMatchObject({ code: 'tooLarge' });
  });
});

describe('pax headers', () => {
  const numbered = (count: number): TarInput[] =>
    Array.from({ length: count }, (_, index) => ({
      name: `f${index}`,
      type: 'file',
      mode: 0o644,
      xattrs: new Map([[`user.k${index}`, Buffer.alloc(60_000, 'v')]]),
      content: Buffer.of(),
    }));

  it('of one entry are bounded together, those of many are not', async () => {
    const separate = await pack(...numbered(30));
    expect(await unpack(separate, 65_536)).toHaveLength(30);
    // The same headers without the entries between them, for one entry or for all that follow.
    for (const flag of ['x', 'g']) {
      const headers: Buffer[] = [];
      for (const one of numbered(30)) {
        const packed = await pack(one);
        const extension = Buffer.from(packed.subarray(0, packed.length - 3 * 512));
        extension[156] = flag.charCodeAt(0);
        extension.write('        ', 148, 'latin1');
        const sum = extension.subarray(0, 512).reduce((total, byte) => total + byte, 0);
        extension.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
        headers.push(extension);
      }
      const archive = Buffer.concat([
        ...headers,
        await pack({ name: 'f', type: 'file', mode: 0o644, content: Buffer.of() }),
      ]);
      await expect(unpack(archive, 65_536)).rejects.toMatchObject({ code: 'tooLarge' });
    }
  });
});
