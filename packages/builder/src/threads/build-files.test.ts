import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type TarInput, writeTar } from '@wherry/images';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BuildFiles } from './build-files.ts';

const never = new AbortController().signal;
const file = (name: string, size: number): TarInput => ({
  name,
  type: 'file',
  mode: 0o644,
  content: Buffer.alloc(size, name),
});

describe.each([
  ['short', 1],
  ['long', 1000],
])('a %s archive of a context', (_, count) => {
  let folder: string;
  const files = new BuildFiles();
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'build-files-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const many = Array.from({ length: count }, (__, index) => file(`d${index % 7}/f${index}`, 900));

  async function packed(...entries: TarInput[]): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of writeTar(entries)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  async function* inPieces(archive: Buffer): AsyncGenerator<Buffer> {
    for (let at = 0; at < archive.length; at += 50_000) yield archive.subarray(at, at + 50_000);
  }

  it('comes whole, compressed or not, with links and names of any bytes', async () => {
    const link: TarInput = { name: 'hard', type: 'link', mode: 0o644, linkName: 'd0/f0' };
    const symlink: TarInput = { name: 'soft', type: 'symlink', mode: 0o777, linkName: 'caf\udce9' };
    const archive = await packed(...many, link, symlink, file('caf\udce9/\udcff', 3));
    for (const [index, body] of [archive, gzipSync(archive)].entries()) {
      const into = join(folder, `${index}`);
      mkdirSync(into);
      await files.unpackContext(inPieces(body), into, never);
      const inside = readdirSync(into, { encoding: 'buffer' }).map((name) => name.toString('latin1'));
      expect(inside).toContain('caf\xe9');
      const below = Buffer.concat([Buffer.from(`${into}/caf`), Buffer.of(0xe9)]);
      expect(readdirSync(below, { encoding: 'buffer' }).map((name) => name.toString('latin1'))).toEqual(['\xff']);
      expect(statSync(join(into, 'hard')).ino).toBe(statSync(join(into, 'd0/f0')).ino);
      const last = many.at(-1)!.name;
      expect(readFileSync(join(into, last))).toEqual(Buffer.alloc(900, last));
    }
  });

  it('is refused where it leads out, and its sender is not read on', async () => {
    const archive = await packed(...many, file('../out', 3), ...many);
    let isLetGo = false;
    async function* endless(): AsyncGenerator<Buffer> {
      try {
        yield* inPieces(archive);
        for (;;) yield Buffer.alloc(50_000);
      } finally {
        isLetGo = true;
      }
    }
    const unpacked = files.unpackContext(endless(), folder, never);
    await expect(unpacked).rejects.toMatchObject({ code: 'invalid', message: /leads out of the build context/ });
    await expect.poll(() => isLetGo).toBe(true);
  });

  it('fails as its sender does', async () => {
    const archive = await packed(...many, ...many);
    async function* broken(): AsyncGenerator<Buffer> {
      yield* inPieces(archive.subarray(0, archive.length - 5000));
      throw new Error('the client is gone');
    }
    await expect(files.unpackContext(broken(), folder, never)).rejects.toThrow('the client is gone');
  });

  it('is given up when it is not wanted any more', async () => {
    const abort = new AbortController();
    const archive = await packed(...many, ...many);
    async function* hanging(): AsyncGenerator<Buffer> {
      yield* inPieces(archive.subarray(0, archive.length - 5000));
      abort.abort();
      // As a request's body does.
      throw new Error('aborted');
    }
    await expect(files.unpackContext(hanging(), folder, abort.signal)).rejects.toThrow(/abort|cancelled/);
  });
});
