import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTar } from '@wherry/images';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packContext } from './pack-context.ts';

describe('a context for the daemon', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pack-context-'));
    mkdirSync(join(folder, 'sub', 'docker'), { recursive: true });
    for (const [path, content] of Object.entries({
      Dockerfile: 'FROM x\n',
      'sub/docker/File': 'FROM y\n',
      'sub/a.txt': 'a',
      'large.bin': 'x'.repeat(1_000_000),
      'empty.txt': '',
    }))
      writeFileSync(join(folder, path), content, { mode: 0o640 });
    symlinkSync('/etc/passwd', join(folder, 'link'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  async function packed(options: Parameters<typeof packContext>[1]): Promise<Record<string, string | number>> {
    const found: Record<string, string | number> = {};
    for await (const { header, body } of readTar(packContext(folder, options))) {
      let size = 0;
      for await (const chunk of body) size += chunk.length;
      expect([header.uid, header.gid]).toEqual([0, 0]);
      found[header.name] = header.type === 'symlink' ? header.linkName : size;
    }
    return found;
  }

  it('has every file, and links as they are', async () => {
    expect(await packed({ dockerfileName: 'Dockerfile' })).toEqual({
      Dockerfile: 7,
      'empty.txt': 0,
      'large.bin': 1_000_000,
      link: '/etc/passwd',
      'sub/': 0,
      'sub/a.txt': 1,
      'sub/docker/': 0,
      'sub/docker/File': 7,
    });
  });

  it('leaves out what is ignored, but for the Dockerfile and the ignore file', async () => {
    writeFileSync(join(folder, '.dockerignore'), '*\n!empty.txt\n');
    expect(Object.keys(await packed({ dockerfileName: 'sub/docker/File' }))).toEqual([
      '.dockerignore',
      'empty.txt',
      'sub/',
      'sub/docker/',
      'sub/docker/File',
    ]);
    expect(Object.keys(await packed({ dockerfileName: '.own', dockerfile: Buffer.from('FROM z') }))).toEqual([
      '.dockerignore',
      'empty.txt',
      '.own',
    ]);
  });

  it('has no sockets', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(folder, 'socket'), resolve));
    try {
      expect(Object.keys(await packed({ dockerfileName: 'Dockerfile' }))).not.toContain('socket');
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('fails where a file is not as long as it was', async () => {
    const archive = packContext(folder, { dockerfileName: 'Dockerfile' });
    await archive.next();
    writeFileSync(join(folder, 'large.bin'), 'short');
    const rest = async (): Promise<void> => {
      for await (const _ of archive);
    };
    await expect(rest()).rejects.toMatchObject({ code: 'conflict' });
  });
});
