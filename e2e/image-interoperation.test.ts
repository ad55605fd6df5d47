import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createTestCluster,
  dockerBusyboxImage,
  dockerdFolders,
  npmPackage,
  repository,
  type TestCluster,
} from '@wherry/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findTools, type ImageTool, prepareTools, startDockerd, type ToolName } from './image-peers.ts';

// Images that others make run here, and ours run there: by registry and by archive, each way.

const tools = findTools();
const dockerd = dockerdFolders(repository);
const npmClient = npmPackage(repository, 'oci-registry-client', '0.2.0');
const registry = '127.0.0.1:5000';
/** Says why tests are skipped. */
const titled = (title: string, peer: string | undefined): string =>
  peer === undefined ? `${title} (skipped: the peer cannot be had or does not run on this machine)` : title;
let engine: TestCluster;
let toolOf: (name: ToolName) => ImageTool;

beforeAll(async () => {
  engine = await createTestCluster({ ownEtc: true, upArgs: ['--engine-only', '--registry'] });
  toolOf = await prepareTools(engine.machine);
  await engine.loadImage(await dockerBusyboxImage(), ['busybox:1.35']);
  await engine.mustDocker(['build', '-q', '-t', 'made:here', '-'], {
    input: dockerfile,
    env: { DOCKER_BUILDKIT: '0' },
  });
  await engine.mustDocker(['tag', 'made:here', `${registry}/ours:1`]);
  await engine.mustDocker(['push', '-q', `${registry}/ours:1`]);
  await engine.mustDocker(['save', '-o', path('ours.tar'), 'made:here']);
});
afterAll(() => engine[Symbol.asyncDispose]());

const path = (name: string): string => join(engine.machine.directory, name);

/** What is hard to carry: modes, owners, links, whiteouts, opaque folders, names, time, an extended attribute. */
const dockerfile = `FROM busybox:1.35
RUN mkdir /d && cd /d && echo one > one && ln one two && ln -s one link && mkfifo fifo && echo s > setuid \\
 && chmod 4755 setuid && chown 7:8 two && mkdir -p old/deep && echo gone > old/deep/gone && echo ü > 'spaced ü' \\
 && touch -d '2001-02-03 04:05:06' one && mkdir empty && echo x > removed
RUN cd /d && rm -r old removed && mkdir old && echo new > old/new
ENV GREETING="hello world"
WORKDIR /d
USER 7
LABEL a=b
CMD ["sh", "-c", "echo $GREETING; ls -lnR --full-time . | grep -v ^total"]
`;

type Runs = Pick<ImageTool, 'must'>;
const ours: Runs = { must: (args) => engine.mustDocker(args) };

/** What a container of the image shows. */
async function shown(where: Runs, name: string): Promise<string> {
  return await where.must(['run', '--rm', '--network', 'none', name]);
}

/** Pulls or loads here, runs it, and removes it again. */
async function shownHere(name: string, archive?: string): Promise<string> {
  if (archive === undefined) await engine.mustDocker(['pull', '-q', name]);
  else expect(await engine.mustDocker(['load', '-q', '-i', archive])).toContain(`Loaded image: ${name}\n`);
  const text = await shown(ours, name);
  await engine.mustDocker(['rmi', name]);
  return text;
}

it('has an image with what is hard to carry', async () => {
  const text = await shown(ours, 'made:here');
  expect(text).toMatch(/^hello world\n/);
  expect(text).toMatch(/^-rw-r--r-- +2 7 +8 +4 2001-02-03 04:05:06 \+0000 two$/m);
  expect(text).toMatch(/^-rwsr-xr-x/m);
  expect(text).toMatch(/^prw-/m);
  expect(text).toMatch(/old:\n-rw\S+ +1 0 +0 +4 \S+ \S+ \+0000 new\n$/);
});

/** What an engine does with our images, and we with its. */
async function bothWays(peer: Runs & { readonly name: string }): Promise<void> {
  const { name } = peer;
  const text = await shown(ours, 'made:here');
  await peer.must(['pull', '-q', `${registry}/ours:1`]);
  expect(await shown(peer, `${registry}/ours:1`)).toBe(text);
  await peer.must(['rmi', `${registry}/ours:1`]);
  await peer.must(['load', '-q', '-i', path('ours.tar')]);
  expect(await shown(peer, 'made:here')).toBe(text);

  const theirs = `${registry}/theirs/${name}:1`;
  const change = 'rm one; echo more > more; rm -r old; mkdir old; echo newer > old/newer; chmod 700 empty';
  await peer.must(['run', '--name', 'changed', '--network', 'none', '--user', '0', 'made:here', 'sh', '-ec', change]);
  await peer.must([
    'commit',
    '--change',
    'ENV GREETING=changed',
    '--change',
    'CMD ["sh", "-c", "echo $GREETING; ls -lR"]',
    'changed',
    theirs,
  ]);
  await peer.must(['rm', 'changed']);
  const changed = await shown(peer, theirs);
  expect(changed).toMatch(/^changed\n[\s\S]*drwx------[\s\S]* more\n[\s\S]* newer\n$/);
  await peer.must(['push', '-q', theirs]);
  expect(await shownHere(theirs)).toBe(changed);
  await peer.must(['save', '-o', path(`${name}.tar`), theirs]);
  expect(await shownHere(theirs, path(`${name}.tar`))).toBe(changed);
}

it.skipIf(dockerd === undefined)(titled('goes to dockerd and back', dockerd), async () => {
  await using peer = await startDockerd(engine.machine, dockerd!);
  await bothWays({ name: 'dockerd', must: peer.must });
});

describe.skipIf(tools.podman === undefined)(titled('podman', tools.podman), () => {
  it('takes ours, and makes what runs here', async () => {
    const { must } = toolOf('podman');
    await bothWays({ name: 'podman', must });
    const theirs = `${registry}/theirs/podman:1`;
    await must(['save', '-q', '--format', 'oci-archive', '-o', path('podman-oci.tar'), theirs]);
    expect(await engine.mustDocker(['load', '-i', path('podman-oci.tar')])).toBe(`Loaded image: ${theirs}\n`);
    expect(await shown(ours, theirs)).toBe(await shown(toolOf('podman'), theirs));
    await must(['save', '-q', '-m', '-o', path('podman-two.tar'), theirs, 'made:here']);
    expect(await engine.mustDocker(['load', '-i', path('podman-two.tar')])).toContain('Loaded image: ');
    await engine.mustDocker(['rmi', theirs]);
    await must(['manifest', 'create', 'both', theirs]);
    await must(['manifest', 'add', '--arch', 's390x', '--variant', 'z', 'both', `docker://${registry}/ours:1`]);
    for (const [form, type] of [
      ['oci', 'application/vnd.oci.image.index.v1+json'],
      ['v2s2', 'application/vnd.docker.distribution.manifest.list.v2+json'],
    ] as const) {
      await must([
        'manifest',
        'push',
        '-q',
        '--all',
        '--format',
        form,
        'both',
        `docker://${registry}/lists/podman:${form}`,
      ]);
      const listed = await engine.mustDocker(['manifest', 'inspect', '--insecure', `${registry}/lists/podman:${form}`]);
      expect(JSON.parse(listed)).toMatchObject({
        mediaType: type,
        manifests: [{}, { platform: { architecture: 's390x' } }],
      });
      expect(await shownHere(`${registry}/lists/podman:${form}`)).toBe(await shown(toolOf('podman'), theirs));
    }
    await must(['manifest', 'rm', 'both']);
    const search = await must(['search', '--list-tags', `${registry}/theirs/podman`]);
    expect(search).toMatch(/theirs\/podman\s+1\n/);
  });
});

describe.skipIf(tools.skopeo === undefined)(titled('skopeo', tools.skopeo), () => {
  const copy = (...args: string[]): Promise<string> => toolOf('skopeo').must(['copy', '-q', ...args]);

  it('copies ours in every form, and every form here', async () => {
    const text = await shown(ours, 'made:here');
    await copy(`docker-archive:${path('ours.tar')}`, `docker-archive:${path('again.tar')}:again:1`);
    expect(await shownHere('again:1', path('again.tar'))).toBe(text);
    await copy(`oci-archive:${path('ours.tar')}`, `oci-archive:${path('layout.tar')}:layout:1`);
    expect(await shownHere('layout:1', path('layout.tar'))).toBe(text);
    for (const [form, ...more] of [
      ['oci'],
      ['v2s2'],
      ['oci', '--dest-compress-format', 'zstd'],
      ['v2s2', '--dest-compress', '--dest-compress-level', '1'],
    ]) {
      const name = `${registry}/theirs/skopeo:${[form, ...more].join('').replaceAll('-', '')}`;
      await copy('--format', form!, ...more, `docker://${registry}/ours:1`, `docker://${name}`);
      expect(await shownHere(name)).toBe(text);
    }
    await copy(`docker://${registry}/ours:1`, `dir:${path('dir')}`);
    await copy(`dir:${path('dir')}`, `docker://${registry}/theirs/skopeo:dir`);
    expect(await shownHere(`${registry}/theirs/skopeo:dir`)).toBe(text);
  });

  it('looks at what the registry has, and deletes it', async () => {
    const { must, run } = toolOf('skopeo');
    const inspected = JSON.parse(await must(['inspect', `docker://${registry}/ours:1`])) as Record<string, unknown>;
    expect(inspected).toMatchObject({ Name: `${registry}/ours`, RepoTags: ['1'], Labels: { a: 'b' }, Os: 'linux' });
    const config = await must(['inspect', '--config', '--raw', `docker://${registry}/ours:1`]);
    const id = (await engine.mustDocker(['inspect', '-f', '{{.Id}}', 'made:here'])).trim();
    expect(`sha256:${createHash('sha256').update(config).digest('hex')}`).toBe(id);
    await copy(`docker://${registry}/ours:1`, `docker://${registry}/theirs/deleted:1`);
    await must(['delete', `docker://${registry}/theirs/deleted:1`]);
    const gone = await run(['inspect', `docker://${registry}/theirs/deleted:1`]);
    expect(gone.stderr).toContain('manifest unknown');
    await must(['sync', '--scoped', '-s', 'docker', '-d', 'dir', `${registry}/ours`, path('synced')]);
    expect(existsSync(path(`synced/${registry}/ours:1/manifest.json`))).toBe(true);
  });

  it('copies lists of platforms whole, in part, and by way of a folder and an archive', async () => {
    const { must, run } = toolOf('skopeo');
    const raw = (name: string): Promise<string> => must(['inspect', '--raw', `docker://${registry}/${name}`]);
    const list = 'theirs/lists:both';
    const parts = [`${registry}/theirs/lists:here`, `${registry}/theirs/lists:there`] as const;
    await engine.mustDocker(['tag', 'made:here', parts[0]]);
    await engine.mustDocker(['push', '-q', parts[0]]);
    await engine.mustDocker(['rmi', parts[0]]);
    await copy('--format', 'oci', `docker://${registry}/ours:1`, `docker://${parts[1]}`);
    await engine.mustDocker(['manifest', 'create', '--insecure', `${registry}/${list}`, ...parts]);
    await engine.mustDocker(['manifest', 'annotate', '--arch', 's390x', `${registry}/${list}`, parts[1]]);
    await engine.mustDocker(['manifest', 'push', '--purge', '--insecure', `${registry}/${list}`]);
    const [first] = (JSON.parse(await raw(list)) as { manifests: { digest: string }[] }).manifests;
    for (const [from, to] of [
      [`docker://${registry}/${list}`, `docker://${registry}/theirs/copied:both`],
      [`docker://${registry}/${list}`, `dir:${path('lists')}`],
      [`dir:${path('lists')}`, `docker://${registry}/theirs/folder:both`],
    ] as const)
      await copy('--all', '--preserve-digests', from, to);
    for (const name of ['theirs/copied:both', 'theirs/folder:both']) expect(await raw(name)).toBe(await raw(list));
    await copy('--all', '--format', 'oci', `docker://${registry}/${list}`, `oci-archive:${path('lists.tar')}:both`);
    await copy('--all', `oci-archive:${path('lists.tar')}:both`, `docker://${registry}/theirs/archived:both`);
    const archived = JSON.parse(await raw('theirs/archived:both')) as { mediaType: string; manifests: unknown[] };
    expect(archived).toMatchObject({ mediaType: 'application/vnd.oci.image.index.v1+json' });
    expect(archived.manifests).toHaveLength(2);
    const config = await must([
      ...['--override-arch', 's390x', 'inspect', '--config', '--raw'],
      `docker://${registry}/theirs/archived:both`,
    ]);
    expect(JSON.parse(config)).toHaveProperty('rootfs');
    // One of them by itself, and a list without what it names.
    await copy('--multi-arch', 'system', `docker://${registry}/${list}`, `docker://${registry}/theirs/one:1`);
    const one = await must(['inspect', '--format', '{{.Digest}}', `docker://${registry}/theirs/one:1`]);
    expect(one.trim()).toBe(first!.digest);
    const [source, alone] = [`docker://${registry}/${list}`, `docker://${registry}/theirs/alone:1`];
    const partial = await run(['copy', '-q', '--multi-arch', 'index-only', source, alone]);
    expect(partial.stderr).toContain('manifest blob unknown');
    const tags = await must(['list-tags', `docker://${registry}/theirs/lists`]);
    expect(JSON.parse(tags)).toMatchObject({ Tags: ['both', 'here', 'there'] });
    await must(['sync', '--all', '-s', 'docker', '-d', 'docker', `${registry}/theirs/lists`, `${registry}/kept`]);
    expect(await raw('kept/lists:both')).toBe(await raw(list));
    await must(['delete', `docker://${registry}/theirs/lists:both`]);
    expect((await run(['inspect', `docker://${registry}/theirs/lists:both`])).stderr).toContain('manifest unknown');
    expect(await raw('theirs/lists:here')).toContain('config');
  });
});

describe.skipIf(tools.buildah === undefined)(titled('buildah', tools.buildah), () => {
  it('builds on ours what runs here, in both formats, and lists of platforms', async () => {
    const { must } = toolOf('buildah');
    const from = async (): Promise<string> => (await must(['from', '-q', `${registry}/ours:1`])).trim();
    const made = await from();
    await writeFile(path('added'), 'added\n');
    await must(['copy', '-q', '--chown', '7:8', made, path('added'), '/d/added']);
    await must(['run', made, 'sh', '-c', 'cat /d/added']);
    await must(['run', '--user', '0', made, 'sh', '-ec', 'rm /d/one; ln /d/two /d/three']);
    await must(['config', '--env', 'GREETING=built', '--cmd', 'sh -c "echo $GREETING; ls -l"', made]);
    let text = '';
    for (const form of ['oci', 'docker']) {
      const name = `${registry}/theirs/buildah:${form}`;
      await must(['commit', '-q', '--format', form, made, name]);
      await must(['push', '-q', '--format', form === 'oci' ? 'oci' : 'v2s2', name]);
      const here = await shownHere(name);
      expect(here).toMatch(/^built\n[\s\S]*7 +mail [\s\S]* added\n/);
      expect(here).not.toMatch(/\d one$/m);
      expect(text === '' || here === text).toBe(true);
      text = here;
    }
    await must(['manifest', 'create', 'list']);
    await must(['manifest', 'add', 'list', `${registry}/theirs/buildah:oci`]);
    await must(['manifest', 'add', '--arch', 'riscv64', 'list', `${registry}/theirs/buildah:docker`]);
    await must(['manifest', 'push', '-q', '--all', 'list', `docker://${registry}/theirs/buildah:list`]);
    expect(await shownHere(`${registry}/theirs/buildah:list`)).toBe(text);
    await must(['rm', made]);
  });
});

describe.skipIf(tools.umoci === undefined)(titled('umoci', tools.umoci), () => {
  it('unpacks the layout that we save, and packs one that we load', async () => {
    const { must } = toolOf('umoci');
    const layout = path('umoci');
    await engine.machine.run('sh', ['-ec', `mkdir ${layout}; tar -C ${layout} -xf ${path('ours.tar')}`]);
    const { manifests } = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
      manifests: { annotations: Record<string, string> }[];
    };
    const tag = manifests[0]!.annotations['org.opencontainers.image.ref.name']!;
    await must(['unpack', '--image', `${layout}:${tag}`, path('bundle')]);
    expect(await readFile(path('bundle/rootfs/d/two'), 'utf8')).toBe('one\n');
    await rm(path('bundle/rootfs/d/one'));
    await writeFile(path('bundle/rootfs/d/packed'), 'packed\n');
    await must(['repack', '--image', `${layout}:packed`, path('bundle')]);
    await must(['config', '--image', `${layout}:packed`, '--config.env', 'GREETING=packed']);
    await must(['rm', '--image', `${layout}:${tag}`]);
    await must(['gc', '--layout', layout]);
    // The name that docker and containerd go by stays on what was packed.
    const index = await readFile(join(layout, 'index.json'), 'utf8');
    await writeFile(
      join(layout, 'index.json'),
      index.replaceAll('docker.io/library/made:here', 'docker.io/library/packed:1'),
    );
    await engine.machine.run('sh', ['-ec', `cd ${layout}; rm manifest.json; tar -cf ${path('umoci.tar')} *`]);
    const here = await shownHere('packed:1', path('umoci.tar'));
    expect(here).toMatch(/^packed\n[\s\S]* packed\n/);
    expect(here).not.toMatch(/\d one$/m);
  });
});

describe.skipIf(npmClient === undefined)(titled('a registry client of npm', npmClient), () => {
  it('pulls and pushes with a token of ours, which allows no more', async () => {
    const users = path('users');
    const added = await engine.wherry(['registry', 'passwd', 'bob', '--htpasswd', users], { input: 'secret\n' });
    expect(added).toMatchObject({ code: 0 });
    await using server = engine.machine.start(process.execPath, [
      join(repository, 'bin', 'wherry'),
      ...['registry', 'serve', '--port', '5030', '--root', path('tokens'), '--htpasswd', users, '--token'],
    ]);
    await server.waitFor('registry serves');
    const [from, to] = ['127.0.0.1:5030/team/ours:1', '127.0.0.1:5030/team/theirs:1'];
    await engine.mustDocker(['login', '-u', 'bob', '--password-stdin', '127.0.0.1:5030'], { input: 'secret\n' });
    await engine.mustDocker(['tag', 'made:here', from]);
    await engine.mustDocker(['push', '-q', from]);
    const script = join(repository, 'e2e', 'inside', 'registry-client.mjs');
    const ran = await engine.machine.run(process.execPath, [script, npmClient!, from, to, 'bob', 'secret']);
    expect(ran.stderr).toBe('');
    const layers = Number(await engine.mustDocker(['inspect', '-f', '{{len .RootFS.Layers}}', from]));
    const verified = Array.from({ length: layers + 1 }, () => true);
    expect(JSON.parse(ran.stdout)).toEqual({ tags: ['1'], verified, same: true, deleted: 401 });
    expect(await shownHere(to)).toBe(await shown(ours, 'made:here'));
    await engine.mustDocker(['rmi', from]);
  });
});
