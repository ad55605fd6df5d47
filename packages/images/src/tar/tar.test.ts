import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { TarHeader } from './tar-entry.ts';
import { readTar } from './tar-reader.ts';
import { type TarInput, writeTar } from './tar-writer.ts';

const noXattrs = new Map<string, Buffer>();
const plain = {
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: 0,
  mtimeNanoseconds: 0,
  linkName: '',
  major: 0,
  minor: 0,
  size: 0,
  xattrs: noXattrs,
};

async function pack(...entries: TarInput[]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of writeTar(entries)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** In the same memory each time: a piece is gone once the next one is asked for. */
async function* inPieces(content: Buffer, size: number): AsyncGenerator<Buffer> {
  const memory = Buffer.alloc(size);
  for (let at = 0; at < content.length; at += size) {
    yield memory.subarray(0, content.copy(memory, 0, at, at + size));
    memory.fill(0xaa);
  }
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
          mtimeNanoseconds: ((entry.mtime ?? 0) % 1) * 1e9,
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

  it.each([
    ['0000644\0', 0o644],
    ['  644 \0 ', 0o644],
    ['\0\0\0\x30644\0', 0o644],
    ['00000644', 0o644],
    ['644 \0xyz', 0o644],
    ['        ', 0],
    ['\0\0\0\0\0\0\0\0', 0],
    ['0000648\0', undefined],
    ['64 4\0   ', undefined],
    ['-644\0   ', undefined],
  ])('takes the field %j for the number %j', async (field, mode) => {
    for (const isSigned of [false, true]) {
      const archive = await pack({ name: 'a', type: 'file', mode: 0, content: Buffer.of() });
      // A name of the owner as old writers had it.
      archive.write('é', 265, 'latin1');
      archive.write(field, 100, 'latin1');
      archive.fill(' ', 148, 156);
      const sum = archive
        .subarray(0, 512)
        .reduce((total, byte) => total + byte - (isSigned && byte > 127 ? 256 : 0), 0);
      archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
      if (mode === undefined) await expect(unpack(archive, 100_000)).rejects.toMatchObject({ code: 'corrupt' });
      else expect((await unpack(archive, 100_000))[0]!.header).toMatchObject({ name: 'a', mode });
    }
  });

  it('has small content at hand', async () => {
    const archive = await pack(...entries);
    const wholes: (string | undefined)[] = [];
    for await (const { body } of readTar(inPieces(archive, 100_000))) wholes.push(body.whole?.toString());
    expect(wholes).toEqual(['', 'content', 'x'.repeat(2000), '', '', '', '', '']);
    for await (const { header, body } of readTar(inPieces(archive, 700))) {
      if (header.name === long) expect(body.whole).toBe(undefined);
    }
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

describe('sparse files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-sparse-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  /** Many parts, a hole at the end, and one file that is nothing but a hole. */
  const content = Buffer.alloc(6_000_000);
  for (let n = 0; n < 60; n++) content.fill(65 + (n % 26), n * 90_000 + 5000, n * 90_000 + 5000 + 7001);
  writeFileSync(join(folder, 'holes'), '');
  truncateSync(join(folder, 'holes'), content.length);
  const file = openSync(join(folder, 'holes'), 'r+');
  for (let at = 0; at < content.length; at += 1000) {
    const piece = content.subarray(at, at + 1000);
    if (piece.some((byte) => byte !== 0)) writeSync(file, piece, 0, piece.length, at);
  }
  closeSync(file);
  writeFileSync(join(folder, 'empty'), '');
  truncateSync(join(folder, 'empty'), 3_000_000);
  writeFileSync(join(folder, 'plain'), 'plain');
  const formats = [
    ['GNU', ['--format=gnu']],
    ...['0.0', '0.1', '1.0'].map((version) => [`pax ${version}`, ['--format=posix', `--sparse-version=${version}`]]),
  ] as [string, string[]][];
  const packed = (options: string[], ...names: string[]): Buffer =>
    execFileSync('tar', ['-cS', ...options, '-C', folder, ...names], { maxBuffer: 1e8 });

  it.each(formats)('of %s archives come whole', async (_, options) => {
    const archive = packed(options, 'empty', 'holes', 'plain');
    expect(archive.length).toBeLessThan(1_500_000);
    const read = await unpack(archive, 10_000);
    expect(read.map(({ header: { name, size, type } }) => [name, size, type])).toEqual([
      ['empty', 3_000_000, 'file'],
      ['holes', content.length, 'file'],
      ['plain', 5, 'file'],
    ]);
    expect(Buffer.from(read[1]!.text).equals(content)).toBe(true);
    expect(read[0]!.text).toBe('\0'.repeat(3_000_000));
    expect(read[2]!.text).toBe('plain');
    const names: string[] = [];
    for await (const { header } of readTar(inPieces(archive, 1000))) names.push(header.name);
    expect(names).toEqual(['empty', 'holes', 'plain']);
  });

  it.each(formats)('of %s archives that contradict themselves are refused', async (name, options) => {
    const archive = packed(options, 'holes');
    const change = (from: RegExp, to: string): Buffer => {
      const text = archive.toString('latin1');
      expect(from.test(text)).toBe(true);
      const changed = Buffer.from(text.replace(from, to), 'latin1');
      for (let at = 0; at < changed.length; at += 512) fixChecksum(changed, archive, at);
      return changed;
    };
    const broken =
      name === 'GNU'
        ? [
            change(/00000020000/, '00000020001'),
            change(/00000010000/, '00000810000'),
            change(/00000010000/, '77777777777'),
          ]
        : [change(/8192/, '8193'), change(/8192/, '8x92'), change(/4096/, '-096')];
    for (const one of broken) await expect(unpack(one, 65_536)).rejects.toMatchObject({ code: 'corrupt' });
  });
});

describe('what other writers make', () => {
  const python = (script: string): Buffer => execFileSync('python3', ['-c', script], { maxBuffer: 1e8 });
  const made = (info: string, format = 'PAX'): Buffer =>
    python(`
import tarfile, sys, io
out = io.BytesIO()
t = tarfile.open(fileobj=out, mode='w', format=tarfile.${format}_FORMAT, encoding='utf-8', errors='surrogateescape')
i = tarfile.TarInfo('n')
${info}
t.addfile(i, io.BytesIO(b'x' * i.size))
t.close()
sys.stdout.buffer.write(out.getvalue())`);

  it('has names of any bytes', async () => {
    for (const format of ['GNU', 'USTAR', 'PAX']) {
      const [entry] = await unpack(made(`i.name = b'caf\\xe9/\\xff'.decode('utf-8', 'surrogateescape')`, format));
      expect(entry!.header.name).toBe('caf\udce9/\udcff');
      const [again] = await unpack(
        await pack({ name: entry!.header.name, type: 'symlink', mode: 0o777, linkName: '\udc80' }),
      );
      expect([again!.header.name, again!.header.linkName]).toEqual(['caf\udce9/\udcff', '\udc80']);
    }
  });

  it('has times to the nanosecond', async () => {
    const [entry] = await unpack(made(`i.pax_headers = {'mtime': '1600000000.123456789'}`));
    expect([Math.floor(entry!.header.mtime), entry!.header.mtimeNanoseconds]).toEqual([1_600_000_000, 123_456_789]);
    const [old] = await unpack(made(`i.pax_headers = {'mtime': '-1.25'}`));
    expect([old!.header.mtime, old!.header.mtimeNanoseconds]).toEqual([-1.25, 750_000_000]);
  });

  it('has long names, large owners and numbers below zero', async () => {
    for (const format of ['GNU', 'PAX']) {
      const [entry] = await unpack(
        made(
          `i.name = 'd/' * 300 + 'n'; i.uid = 4000000000; i.gid = 3000000; i.mtime = -5; i.type = tarfile.SYMTYPE; i.linkname = 'l' * 3000`,
          format,
        ),
      );
      expect(entry!.header).toMatchObject({
        uid: 4_000_000_000,
        gid: 3_000_000,
        mtime: -5,
        linkName: 'l'.repeat(3000),
      });
      expect(entry!.header.name).toBe(`${'d/'.repeat(300)}n`);
    }
  });

  it('is refused with sizes that cannot be', async () => {
    const archive = await pack({ name: 'f', type: 'file', mode: 0o644, content: Buffer.from('x') });
    for (const field of ['80000000ffffffffffffffff', 'ffffffffffffffffffffffff', '2d3100000000000000000000']) {
      const changed = Buffer.from(archive);
      changed.write(field, 124, 'hex');
      fixChecksum(changed, archive, 0);
      await expect(unpack(changed)).rejects.toMatchObject({ code: 'corrupt' });
    }
    await expect(unpack(made(`i.pax_headers = {'size': '-1'}`))).rejects.toMatchObject({ code: 'corrupt' });
    await expect(unpack(made(`i.pax_headers = {'size': '1e3'}`))).rejects.toMatchObject({ code: 'corrupt' });
  });
});

/** Makes the header at a place right again after a change. */
function fixChecksum(changed: Buffer, before: Buffer, at: number): void {
  const block = changed.subarray(at, at + 512);
  if (block.equals(before.subarray(at, at + 512)) || block.toString('latin1', 257, 262) !== 'ustar') return;
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}

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
