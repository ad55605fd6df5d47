import { join } from 'node:path';
import { hostPlatform } from '@wherry/oci';
import { createTestCluster, repository, type TestCluster } from '@wherry/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';

// Images for several platforms under one name: made and looked at by the client alone, which talks to the registry itself
// (`docker manifest`), and kept, run, pushed and saved by the engine.

const here = hostPlatform().architecture;
const there = here === 'arm64' ? 'amd64' : 'arm64';
const registry = '127.0.0.1:5000';
const both = `${registry}/multi:both`;
let engine: TestCluster;

beforeAll(async () => {
  engine = await createTestCluster({ start: false });
  await engine.up(['--engine-only', '--registry']);
  await shell(`cd /bin; tar -cf ${path('here.tar')} busybox; tar -cf ${path('there.tar')} busybox sh`);
  for (const [name, architecture] of [
    ['here', here],
    ['there', there],
  ] as const) {
    const image = `${registry}/multi:${architecture}`;
    await docker('import', '--platform', `linux/${architecture}`, path(`${name}.tar`), image);
    await docker('push', '-q', image);
    await docker('rmi', image);
  }
});
afterAll(() => engine[Symbol.asyncDispose]());

const path = (name: string): string => join(engine.machine.directory, name);
const docker = (...args: string[]): Promise<string> => engine.mustDocker(args);

async function shell(script: string): Promise<string> {
  const ran = await engine.machine.run('sh', ['-ec', script]);
  expect(ran).toMatchObject({ code: 0 });
  return ran.stdout;
}

interface Index {
  readonly mediaType: string;
  readonly manifests: readonly {
    readonly digest: string;
    readonly platform: { readonly architecture: string; readonly variant?: string };
  }[];
}

/** What the registry has under a name, with its digest. */
async function inRegistry(name: string): Promise<{ readonly digest: string; readonly index: Index }> {
  const [path, tag] = name.slice(registry.length + 1).split(':');
  const accept = 'Accept: application/vnd.docker.distribution.manifest.list.v2+json';
  const url = `http://${registry}/v2/${path}/manifests/${tag}`;
  const head = await shell(`curl -sI -H '${accept}' ${url}`);
  const index = JSON.parse(await shell(`curl -s -H '${accept}' ${url}`)) as Index;
  return { digest: /^docker-content-digest: (\S+)/im.exec(head)![1]!, index };
}

const architectures = async (...args: string[]): Promise<string> =>
  (await docker('image', 'inspect', '-f', '{{.Architecture}}', ...args)).trim();

it('makes a list of two images, and says of each what it is for', async () => {
  const parts = [`${registry}/multi:${here}`, `${registry}/multi:${there}`];
  await docker('manifest', 'create', '--insecure', both, ...parts);
  await docker('manifest', 'annotate', both, parts[1]!, '--arch', there, '--variant', 'v8');
  const pushed = await docker('manifest', 'push', '--purge', '--insecure', both);
  const { digest, index } = await inRegistry(both);
  expect(pushed.trim().split('\n').at(-1)).toBe(digest);
  expect(index.manifests.map(({ platform }) => platform.architecture)).toEqual([here, there]);
  expect(index.manifests[1]!.platform.variant).toBe('v8');
  expect(JSON.parse(await docker('manifest', 'inspect', '--insecure', both))).toEqual(index);
  const verbose = JSON.parse(await docker('manifest', 'inspect', '-v', '--insecure', both)) as { Ref: string }[];
  expect(verbose.map(({ Ref }) => Ref)).toEqual(index.manifests.map(({ digest }) => `${both}@${digest}`));
});

it('pulls by the digest of the list and of its parts', async () => {
  const { digest, index } = await inRegistry(both);
  for (const [which, architecture] of [
    [digest, here],
    [index.manifests[0]!.digest, here],
    [index.manifests[1]!.digest, there],
  ] as const) {
    const name = `${registry}/multi@${which}`;
    // One of another platform is pulled by its own digest; docker warns.
    await docker('pull', '-q', name);
    expect(await architectures(name)).toBe(architecture);
    await docker('rmi', name);
  }
});

it('shows what a name has for each platform, here or not', async () => {
  await docker('pull', '-q', both);
  const { index } = await inRegistry(both);
  const [ours, theirs] = index.manifests.map(({ digest }) => digest.slice(7, 19));
  const tree = await docker('image', 'ls', '--tree');
  expect(tree).toMatch(
    new RegExp(`multi:both[^\n]*\n├─ linux/${here} +${ours} [^\n]*\n└─ linux/${there}\\S* +${theirs} +0B +0B`),
  );
  expect(await architectures(both)).toBe(here);
  const refused = await engine.docker(['image', 'inspect', '--platform', `linux/${there}`, both]);
  expect(refused.stderr).toContain(`was found but does not provide the specified platform (linux/${there})`);
});

it('has both once both were pulled: runs, shows and saves each', async () => {
  await docker('pull', '-q', '--platform', `linux/${there}`, both);
  expect(await architectures(both)).toBe(there);
  expect(await architectures('--platform', `linux/${here}`, both)).toBe(here);
  expect(await docker('run', '--rm', '--platform', `linux/${here}`, both, '/busybox', 'echo', 'hi')).toBe('hi\n');
  const history = (platform: string) => docker('history', '-q', '--no-trunc', '--platform', platform, both);
  expect(await history(`linux/${here}`)).not.toBe(await history(`linux/${there}`));
  for (const architecture of [here, there]) {
    const file = path(`${architecture}.saved.tar`);
    await docker('save', '--platform', `linux/${architecture}`, '-o', file, both);
    const config = await shell(`tar -xOf ${file} manifest.json | sed 's/.*"Config":"\\([^"]*\\)".*/\\1/'`);
    expect(JSON.parse(await shell(`tar -xOf ${file} ${config.trim()}`))).toMatchObject({ architecture });
  }
});

it('saves and loads both at once, or the one that is asked for', async () => {
  const saved = path('both.saved.tar');
  await docker('save', '-o', saved, both);
  const ids = async (): Promise<string[]> => {
    const id = (architecture: string) =>
      docker('image', 'inspect', '-f', '{{.Id}}', '--platform', `linux/${architecture}`, both);
    return [await id(here), await id(there)];
  };
  const before = await ids();
  const platforms = async (): Promise<string[]> => {
    const tree = await docker('image', 'ls', '--tree');
    const lines = [...tree.matchAll(/^[├└]─ (linux\/[a-z0-9]+)\S* +\S+ +(\S+)/gm)];
    return lines.filter(([, , size]) => size !== '0B').map(([, platform]) => platform!);
  };
  const remove = async (): Promise<void> => {
    await docker('rmi', both);
    await docker('image', 'prune', '-f');
    expect(await docker('images', '-qa')).toBe('');
  };
  await remove();
  expect(await docker('load', '-i', saved)).toBe(`Loaded image: ${both}\n`);
  expect(await platforms()).toEqual([`linux/${here}`, `linux/${there}`]);
  expect(await ids()).toEqual(before);
  expect(await architectures(both)).toBe(here);
  await remove();

  expect(await docker('load', '--platform', `linux/${there}`, '-i', saved)).toBe(`Loaded image: ${both}\n`);
  expect(await platforms()).toEqual([`linux/${there}`]);
  expect(await architectures(both)).toBe(there);
  const one = path('one.saved.tar');
  await docker('save', '--platform', `linux/${there}`, '-o', one, both);
  const refused = await engine.docker(['load', '--platform', `linux/${here}`, '-i', one]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain(`requested platform (linux/${here}) not found: image might be filtered out`);
  await remove();
  expect(await docker('load', '--platform', `linux/${there}`, '-i', one)).toBe(`Loaded image: ${both}\n`);
  expect(await architectures(both)).toBe(there);
  await remove();
  // As the other tests have it.
  await docker('pull', '-q', both);
  await docker('pull', '-q', '--platform', `linux/${there}`, both);
});

it('builds from both, whichever the name means', async () => {
  const steps = [`FROM --platform=linux/${there} ${both} AS theirs`, `FROM --platform=linux/${here} ${both}`];
  await shell(`printf '%s\\n' '${steps.join("' '")}' 'COPY --from=theirs /busybox /theirs' > ${path('Dockerfile')}`);
  await shell(`mkdir -p ${path('context')}; cp ${path('Dockerfile')} ${path('context')}`);
  await engine.mustDocker(['build', '-q', '-t', 'from-both', path('context')], { env: { DOCKER_BUILDKIT: '0' } });
  expect(await architectures('from-both')).toBe(here);
  expect(await architectures(both)).toBe(there);
  await docker('rmi', 'from-both');
});

it('keeps what has no name of its own while the list has one', async () => {
  await docker('image', 'prune', '-f');
  expect(await architectures('--platform', `linux/${here}`, both)).toBe(here);
  expect(await docker('images', '-q', '-f', 'dangling=true')).toBe('');
  expect((await docker('images', '-q')).trim().split('\n')).toHaveLength(1);
  expect((await docker('images', '-qa')).trim().split('\n')).toHaveLength(2);
});

it('pushes the whole list, or what is asked for', async () => {
  const copy = `${registry}/copy:both`;
  await docker('tag', both, copy);
  const pushed = await docker('push', copy);
  const original = await inRegistry(both);
  const copied = await inRegistry(copy);
  expect(copied).toEqual(original);
  expect(pushed).toContain(`both: digest: ${copied.digest} size: `);
  for (const [index, architecture] of [here, there].entries()) {
    const one = `${registry}/copy:${architecture}`;
    await docker('tag', both, one);
    await docker('push', '-q', '--platform', `linux/${architecture}`, one);
    expect((await inRegistry(one)).digest).toBe(original.index.manifests[index]!.digest);
    await docker('rmi', one);
  }
  const refused = await engine.docker(['push', '--platform', 'linux/s390x', copy]);
  expect(refused.stderr).toContain('does not provide the specified platform (linux/s390x)');
});

it('makes a list of images of several repositories, where users log in', async () => {
  const users = path('users');
  const added = await engine.wherry(['registry', 'passwd', 'bob', '--htpasswd', users], { input: 'secret\n' });
  expect(added).toMatchObject({ code: 0 });
  const options = ['--port', '5001', '--root', path('users-registry'), '--htpasswd', users, '--token'];
  const program = [join(repository, 'bin', 'wherry'), 'registry', 'serve', ...options];
  await using server = engine.machine.start(process.execPath, program);
  await server.waitFor('registry serves');
  await engine.mustDocker(['login', '-u', 'bob', '--password-stdin', '127.0.0.1:5001'], { input: 'secret\n' });
  const [first, second] = ['127.0.0.1:5001/one/app:1', '127.0.0.1:5001/two/app:1'];
  for (const [name, architecture] of [
    [first, here],
    [second, there],
  ] as const) {
    await docker('tag', both, name);
    await docker('push', '-q', '--platform', `linux/${architecture}`, name);
    await docker('rmi', name);
  }
  const joined = '127.0.0.1:5001/joined/app:both';
  await docker('manifest', 'create', '--insecure', joined, first, second);
  await docker('manifest', 'push', '--purge', '--insecure', joined);
  const refused = await engine.machine.run('docker', ['manifest', 'inspect', '--insecure', joined], {
    env: { DOCKER_CONFIG: path('nobody') },
  });
  expect(refused.stderr).toContain('requested access to the resource is denied');
  const listed = JSON.parse(await docker('manifest', 'inspect', '--insecure', joined)) as Index;
  expect(listed.manifests.map(({ platform }) => platform.architecture)).toEqual([here, there]);
  await docker('pull', '-q', joined);
  expect(await docker('run', '--rm', joined, '/busybox', 'echo', 'hi')).toBe('hi\n');
  await docker('rmi', joined);
  await docker('logout', '127.0.0.1:5001');
});

it('removes the image of one platform, and leaves the name to the other', async () => {
  await docker('rmi', '-f', '--platform', `linux/${here}`, both);
  const gone = await engine.docker(['image', 'inspect', '--platform', `linux/${here}`, both]);
  expect(gone.stderr).toContain(`does not provide the specified platform (linux/${here})`);
  expect(await architectures(both)).toBe(there);
  // What is no longer whole is pushed as the one image that is left.
  const copy = `${registry}/copy:left`;
  await docker('tag', both, copy);
  await docker('push', '-q', copy);
  const { digest } = await inRegistry(copy);
  expect(digest).toBe((await inRegistry(both)).index.manifests[1]!.digest);
});

it('keeps what a list names from the collector, until the list goes', async () => {
  const root = path('root/registry');
  const part = `http://${registry}/v2/copy/manifests/`;
  const { digest, index } = await inRegistry(`${registry}/copy:both`);
  const found = async (reference: string): Promise<string> =>
    (await shell(`curl -s -o /dev/null -w '%{http_code}' ${part}${reference}`)).trim();
  await engine.wherry(['registry', 'gc', '--untagged', '--root', root]);
  for (const { digest: child } of index.manifests) expect(await found(child)).toBe('200');
  expect(await shell(`curl -s -o /dev/null -w '%{http_code}' -X DELETE ${part}${index.manifests[0]!.digest}`)).toBe(
    '202',
  );
  expect(await found(index.manifests[0]!.digest)).toBe('404');
  expect(await found(digest)).toBe('200');
  const missing = await engine.docker(['pull', '--platform', `linux/${here}`, `${registry}/copy:both`]);
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain('manifest unknown');
});
