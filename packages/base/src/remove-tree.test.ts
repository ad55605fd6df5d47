import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeTree } from './remove-tree.ts';

describe('removeTree', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'remove-tree-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('removes what is in a folder, with names of any bytes, and follows no links', async () => {
    mkdirSync(join(root, 'kept'));
    writeFileSync(join(root, 'kept/file'), '');
    const tree = join(root, 'tree');
    for (let n = 0; n < 50; n++) {
      mkdirSync(join(tree, `d${n % 5}/e${n}`), { recursive: true });
      writeFileSync(join(tree, `d${n % 5}/f${n}`), '');
    }
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/d0/`), Buffer.of(0xff, 0xe9)]), '');
    symlinkSync('../kept', join(tree, 'link'));
    await removeTree(tree);
    expect(readdirSync(root)).toEqual(['kept']);
    expect(readdirSync(join(root, 'kept'))).toEqual(['file']);
  });

  it('removes a file, a link and what is not there', async () => {
    writeFileSync(join(root, 'file'), '');
    symlinkSync('.', join(root, 'link'));
    for (const name of ['file', 'link', 'none', 'none/below']) await removeTree(join(root, name));
    expect(readdirSync(root)).toEqual([]);
    expect(existsSync(root)).toBe(true);
  });
});
