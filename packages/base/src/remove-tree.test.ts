import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fsPath } from './file-names.ts';
import { removeTree } from './remove-tree.ts';
import { removalWork } from './remove-tree-work.ts';

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

  it('goes on elsewhere where a busy disk takes more than a moment for a few files', async () => {
    const tree = join(root, 'tree');
    for (const name of ['a', 'b', 'c']) mkdirSync(join(tree, name), { recursive: true });
    for (const name of ['a/1', 'a/2', 'b/1', '1']) writeFileSync(join(tree, name), '');
    let now = 0;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 1.5));
    try {
      await removeTree(tree);
    } finally {
      clock.mockRestore();
    }
    expect(readdirSync(root)).toEqual([]);
  });

  it('removes many files on a thread, with the same care', async () => {
    mkdirSync(join(root, 'kept'));
    writeFileSync(join(root, 'kept/file'), '');
    const tree = join(root, 'caf\udce9');
    mkdirSync(fsPath(tree));
    for (let n = 0; n < 1500; n++) {
      const folder = fsPath(`${tree}/d${n % 3}/\udcff${n % 50}`);
      if (n < 150) mkdirSync(folder, { recursive: true });
      writeFileSync(fsPath(`${tree}/d${n % 3}/\udcff${n % 50}/f${n}`), '');
      symlinkSync('../../../kept', fsPath(`${tree}/d${n % 3}/link${n}`));
    }
    await removeTree(tree);
    expect(readdirSync(root)).toEqual(['kept']);
    expect(readdirSync(join(root, 'kept'))).toEqual(['file']);
  });

  it('removes folders whose paths are longer than the kernel takes', () => {
    const tree = join(root, 'tree');
    const deep = `const { chdir } = process; const { mkdirSync } = require('fs');
      for (let n = 0; n < 300; n++) { mkdirSync('d'.repeat(100)); chdir('d'.repeat(100)); }`;
    mkdirSync(tree);
    execFileSync(process.execPath, ['-e', deep], { cwd: tree });
    return expect(removeTree(tree).then(() => readdirSync(root))).resolves.toEqual([]);
  });

  it('says what cannot be removed', async () => {
    await expect(removeTree('/proc/self/attr')).rejects.toMatchObject({ code: 'EPERM' });
    // As a thread does it.
    const onThread = (): unknown => removalWork.remove({ path: '/proc/self/attr' }, undefined as never);
    expect(onThread).toThrow(/^cannot remove \/proc\/self\/attr\/\w+: EPERM$/);
  });

  it('keeps the event loop for no more than a moment', async () => {
    const tree = join(root, 'tree');
    mkdirSync(tree);
    for (let n = 0; n < 20_000; n++) writeFileSync(join(tree, `f${n}`), '');
    const before = performance.eventLoopUtilization();
    await removeTree(tree);
    // A ratio, whatever the machine: most of the time the loop had nothing to do.
    expect(performance.eventLoopUtilization(before).utilization).toBeLessThan(0.5);
    expect(existsSync(tree)).toBe(false);
  });

  it('removes a file, a link and what is not there', async () => {
    writeFileSync(join(root, 'file'), '');
    symlinkSync('.', join(root, 'link'));
    for (const name of ['file', 'link', 'none', 'none/below']) await removeTree(join(root, name));
    expect(readdirSync(root)).toEqual([]);
    expect(existsSync(root)).toBe(true);
  });
});
