import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createTestCluster, dockerBusyboxImage, repository } from '@wherry/testkit';
import { describe, expect, it } from 'vitest';

const skopeo = '/usr/bin/skopeo';

describe.skipIf(!existsSync(skopeo))('images beside skopeo', () => {
  it('go out in archives and come back, and through our registry', async () => {
    await using engine = await createTestCluster({ upArgs: ['--engine-only'] });
    const { machine } = engine;
    const path = (name: string): string => join(machine.directory, name);
    const copy = async (...args: string[]): Promise<void> => {
      const ran = await machine.run(skopeo, ['--insecure-policy', '--tmpdir', machine.directory, 'copy', ...args]);
      expect(ran).toMatchObject({ code: 0 });
    };
    await engine.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
    const root = ['--root', path('registry')];
    await using registry = machine.start(process.execPath, [
      join(repository, 'bin', 'wherry'),
      ...['registry', 'serve', '--port', '5000', ...root],
    ]);
    await registry.waitFor(/listen|serv/i);

    await engine.mustDocker(['save', '-o', path('saved.tar'), 'busybox']);
    await copy(`docker-archive:${path('saved.tar')}`, `docker-archive:${path('again.tar')}:again:1`);
    await copy(`oci-archive:${path('saved.tar')}`, `oci-archive:${path('layout.tar')}:layout`);
    await copy(
      '--dest-tls-verify=false',
      `docker-archive:${path('saved.tar')}`,
      'docker://127.0.0.1:5000/team/pushed:1',
    );
    expect(await engine.mustDocker(['load', '-i', path('again.tar')])).toBe('Loaded image: again:1\n');
    expect(await engine.mustDocker(['load', '-i', path('layout.tar')])).toContain('Loaded image ID: sha256:');
    await engine.mustDocker(['pull', '-q', '127.0.0.1:5000/team/pushed:1']);
    expect(await engine.mustDocker(['run', '--rm', '127.0.0.1:5000/team/pushed:1', 'echo', 'hi'])).toBe('hi\n');

    await engine.mustDocker(['tag', 'busybox', '127.0.0.1:5000/team/ours:1']);
    await engine.mustDocker(['push', '-q', '127.0.0.1:5000/team/ours:1']);
    await copy('--src-tls-verify=false', 'docker://127.0.0.1:5000/team/ours:1', `dir:${path('pulled')}`);
    expect(existsSync(path('pulled/manifest.json'))).toBe(true);
  });
});
