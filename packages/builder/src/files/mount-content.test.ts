import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BuildFiles } from '../threads/build-files.ts';
import { identifyContent } from './mount-content.ts';
import type { TreeSpec } from './tree-spec.ts';
import { MoreWork, WorkBound } from './work-bound.ts';

const { signal } = new AbortController();

describe.each([
  ['few', 20],
  ['many', 1200],
])('a mount of %s files', (_, count) => {
  let context: string;
  let tree: TreeSpec;
  const files = new BuildFiles();
  beforeEach(() => {
    context = mkdtempSync(join(tmpdir(), 'mount-content-'));
    mkdirSync(join(context, 'in'));
    for (let n = 0; n < count; n++) writeFileSync(join(context, `in/f${n}`), `${n}`);
    symlinkSync('in', join(context, 'link'));
    tree = { kind: 'context', context, dockerfileName: 'Dockerfile' };
  });
  afterEach(() => rmSync(context, { recursive: true, force: true }));
  const identity = (path: string) => files.run('identifyContent', { tree, path }, signal);

  it('is known by its content, wherever that is read', async () => {
    const first = await identity('in');
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await identity('link')).toBe(first);
    expect(await identifyContent({ tree, path: 'in' }, {})).toBe(first);
    writeFileSync(join(context, 'in/f7'), 'other');
    expect(await identity('in')).not.toBe(first);
    expect(await identity('none')).toBeUndefined();
  });

  it('is copied without what is left out of the context', async () => {
    writeFileSync(join(context, '.dockerignore'), 'in/f1*\n!in/f12\nlink\n');
    const into = join(context, 'into');
    mkdirSync(into);
    expect(await files.run('copyFolder', { tree, path: 'in', into }, signal)).toBe(true);
    const names = Array.from({ length: count }, (__, n) => `f${n}`);
    const kept = names.filter((name) => !name.startsWith('f1') || name === 'f12');
    expect(readdirSync(into).sort()).toEqual(kept.sort());
    expect(readFileSync(join(into, 'f12'), 'utf8')).toBe('12');
    expect(await files.run('copyFolder', { tree, path: 'in/f0', into }, signal)).toBe(false);
  });

  it('is copied with what its folder is itself', async () => {
    const into = mkdtempSync(join(context, 'into-'));
    const root = { kind: 'folder', root: context } as const;
    await files.run('copyFolder', { tree: root, path: 'in', into, asItself: true }, signal);
    expect(statSync(into).mode).toBe(statSync(join(context, 'in')).mode);
    expect(readdirSync(into)).toHaveLength(count);
  });
});

it('has a thread look at many files even where they are left out', async () => {
  const context = mkdtempSync(join(tmpdir(), 'mount-content-'));
  try {
    for (let n = 0; n < 400; n++) writeFileSync(join(context, `f${n}`), '');
    writeFileSync(join(context, '.dockerignore'), 'f*\n');
    const tree = { kind: 'context', context, dockerfileName: 'Dockerfile' } as const;
    const work = identifyContent({ tree, path: '' }, { bound: new WorkBound() });
    await expect(work).rejects.toBeInstanceOf(MoreWork);
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
});
