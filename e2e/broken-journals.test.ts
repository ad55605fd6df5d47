import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createTestCluster, dockerBusyboxImage, type TestCluster } from '@wherry/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// What a disk makes of the files that say which images and containers there are, on the built product.
describe('a daemon whose journals are broken', () => {
  let engine: TestCluster;
  beforeAll(async () => {
    engine = await createTestCluster({ upArgs: ['--engine-only'] });
    await engine.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
    await engine.mustDocker(['run', '-d', '--name', 'runs', 'busybox', 'sleep', '1000']);
    await engine.mustDocker(['run', '--name', 'ended', 'busybox', 'sh', '-c', 'echo kept > /file']);
  });
  afterAll(() => engine[Symbol.asyncDispose]());

  const journal = (name: string): string => join(engine.machine.directory, 'root', name);
  async function whileDown(work: () => void): Promise<void> {
    await engine.killDaemon();
    work();
    await engine.startAgain();
  }
  async function states(): Promise<string[]> {
    const listed = await engine.mustDocker(['ps', '-a', '--format', '{{.Names}} {{.State}}']);
    return listed.trim().split('\n').sort();
  }

  it('begins with all that is there where their first lines are garbage', async () => {
    const all = [
      'images/images.jsonl',
      'engine/containers.journal',
      'engine/sandboxes.journal',
      'docker/containers.journal',
    ];
    const paths = all.map(journal);
    await whileDown(() => {
      for (const path of paths) writeFileSync(path, readFileSync(path, 'utf8').replace(/^.*/, '\0\0garbage'));
    });
    expect(await states()).toEqual(['ended exited', 'runs running']);
    expect(await engine.mustDocker(['images', '--format', '{{.Repository}}:{{.Tag}}'])).toBe('busybox:latest\n');
    for (const path of paths) rmSync(`${path}.unreadable`);
  });

  it('loses nothing where one has no line left, and goes on when it is mended', async () => {
    const path = journal('engine/containers.journal');
    let good = Buffer.alloc(0);
    await whileDown(() => {
      good = readFileSync(path);
      writeFileSync(path, Buffer.alloc(good.length));
    });
    expect(await states()).toEqual(['ended dead', 'runs dead']);
    const why = await engine.mustDocker(['inspect', '-f', '{{.State.Error}}', 'ended']);
    expect(why).toContain(`see ${path}.unreadable`);
    await whileDown(() => {
      writeFileSync(path, good);
      rmSync(`${path}.unreadable`);
    });
    expect(await states()).toEqual(['ended exited', 'runs running']);
    expect(await engine.mustDocker(['exec', 'runs', 'echo', 'alive'])).toBe('alive\n');
    expect(await engine.mustDocker(['cp', 'ended:/file', '-'])).toContain('kept\n');
  });
});
