import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createTestCluster, dockerBusyboxImage, type TestCluster } from '@wherry/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// What people build with the real docker client, on the built product.
describe('docker build', () => {
  let engine: TestCluster;
  beforeAll(async () => {
    engine = await createTestCluster({ upArgs: ['--engine-only'] });
    await engine.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
  });
  afterAll(() => engine[Symbol.asyncDispose]());

  async function context(name: string, files: Readonly<Record<string, string>>): Promise<string> {
    const folder = join(engine.machine.directory, name);
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), content);
    }
    return folder;
  }
  const run = (...args: string[]): Promise<string> => engine.mustDocker(['run', '--rm', '--network=none', ...args]);

  it('copies from a named stage, takes arguments and a target, and uses its cache until it must not', async () => {
    const folder = await context('stages', {
      Dockerfile:
        'FROM busybox AS made\nARG WHO=nobody\nRUN echo "for $WHO" > /made\nFROM busybox\nCOPY --from=made /made /got\nCMD ["cat", "/got"]\n',
    });
    const idFile = join(folder, '..', 'id');
    const build = (...args: string[]): Promise<string> => engine.mustDocker(['build', ...args, folder]);
    await build('-t', 'stages', '--iidfile', idFile, '--build-arg', 'WHO=me');
    expect(await run('stages')).toBe('for me\n');
    const id = await readFile(idFile, 'utf8');
    expect(await engine.mustDocker(['image', 'inspect', '-f', '{{.Id}}', 'stages'])).toBe(`${id}\n`);
    const again = await build('-q', '--build-arg', 'WHO=me');
    expect(again.trim()).toBe(id);
    expect(await build('--no-cache', '--build-arg', 'WHO=me')).not.toContain('Using cache');
    await build('-t', 'target', '--target', 'made');
    expect(await run('target', 'cat', '/made')).toBe('for nobody\n');
  });

  it('leaves the step before a failing one usable', async () => {
    const input = 'FROM busybox\nRUN echo kept > /kept\nRUN exit 7\n';
    const failed = await engine.docker(['build', '-'], { input });
    expect(failed.code).toBe(7);
    expect(failed.stderr).toContain("The command '/bin/sh -c exit 7' returned a non-zero code: 7");
    const before = /---> ([0-9a-f]{12})\nStep 3\/3/.exec(failed.stdout)?.[1];
    expect(await run(before!, 'cat', '/kept')).toBe('kept\n');
    const mended = await engine.mustDocker(['build', '-'], { input: input.replace('exit 7', 'true') });
    expect(mended).toContain('Using cache');
  });

  it('reads a Dockerfile outside of the context, and leaves out what is ignored', async () => {
    const folder = await context('ignoring', {
      '.dockerignore': '*.log\n!keep.log\n',
      'a.log': '',
      'keep.log': '',
      b: '',
    });
    const elsewhere = await context('elsewhere', { Dockerfile: 'FROM busybox\nCOPY . /all/\n' });
    await engine.mustDocker(['build', '-t', 'ignoring', '-f', join(elsewhere, 'Dockerfile'), folder]);
    expect((await run('ignoring', 'ls', '/all')).split('\n').filter(Boolean)).toEqual(['b', 'keep.log']);
  });

  it('builds again after the daemon was killed in the middle of a step', async () => {
    const folder = await context('killed', {
      Dockerfile: 'FROM busybox\nRUN echo one > /one\nRUN echo two\n',
    });
    const waiting = join(folder, 'Waiting');
    await writeFile(waiting, 'FROM busybox\nRUN echo one > /one\nRUN echo in the middle && sleep 600\n');
    await using build = engine.startDocker(['build', '-f', waiting, folder]);
    await build.waitFor(/\nin the middle/);
    await engine.killDaemon();
    expect((await build.exited).code).not.toBe(0);
    await engine.startAgain();
    await engine.mustDocker(['build', '-t', 'again', folder]);
    expect(await run('again', 'cat', '/one')).toBe('one\n');
    const left = (await engine.processes()).filter(({ command }) => command.includes('sleep 600'));
    expect(left).toEqual([]);
  });
});
