import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { GrowingFile, readGrowing } from './growing-file.ts';

const root = mkdtempSync(join(tmpdir(), 'wherry-growing-'));
afterAll(() => rmSync(root, { recursive: true }));

async function contentOf(file: GrowingFile): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of file.read()) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('a growing file', () => {
  it('is read to its end by all, whenever they begin', async () => {
    const path = join(root, 'a');
    const file = new GrowingFile(path);
    const early = contentOf(file);
    writeFileSync(path, 'one ');
    file.grow(4);
    await file.begun();
    const pieces = file.read();
    expect((await pieces.next()).value?.toString()).toBe('one ');
    const second = pieces.next();
    // What is not announced is not read.
    appendFileSync(path, 'two three');
    file.grow(8);
    expect((await second).value?.toString()).toBe('two ');
    await pieces.return();
    file.grow(13);
    file.end();
    expect(await early).toBe('one two three');
    expect(await contentOf(file)).toBe('one two three');
  });

  it('may be empty', async () => {
    const path = join(root, 'b');
    writeFileSync(path, '');
    const file = new GrowingFile(path);
    const reading = contentOf(file);
    file.end();
    await file.begun();
    expect(await reading).toBe('');
  });

  it('tells its readers why there is no more', async () => {
    const path = join(root, 'c');
    const file = new GrowingFile(path);
    const early = contentOf(file);
    const begun = file.begun();
    file.fail(new Error('torn'));
    await begun;
    await expect(early).rejects.toThrow('torn');
    writeFileSync(path, 'one');
    const other = new GrowingFile(path);
    other.grow(3);
    const pieces = other.read();
    await pieces.next();
    const next = pieces.next();
    other.fail(new Error('torn'));
    await expect(next).rejects.toThrow('torn');
  });

  it('is read elsewhere with some patience, also from where it was moved to', async () => {
    const [path, target] = [join(root, 'd'), join(root, 'e')];
    const file = new GrowingFile(path, target);
    writeFileSync(path, 'one ');
    file.grow(4);
    renameSync(path, target);
    const pieces = readGrowing(file.handle, { patience: 1 });
    expect((await pieces.next()).value?.toString()).toBe('one ');
    await expect(pieces.next()).rejects.toMatchObject({ code: 'unavailable' });
    const whole = readGrowing(file.handle);
    await whole.next();
    const end = whole.next();
    file.end();
    expect((await end).done).toBe(true);
  });

  it('is not read on where it became shorter', async () => {
    const path = join(root, 'f');
    const file = new GrowingFile(path);
    writeFileSync(path, '');
    file.grow(4);
    await expect(readGrowing(file.handle).next()).rejects.toMatchObject({ code: 'cancelled' });
  });
});
