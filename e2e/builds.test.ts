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

  it('by wherry gives steps secrets of files and variables, and keeps none', async () => {
    const folder = await context('secret', {
      Dockerfile:
        'FROM busybox\nRUN --mount=type=secret,id=file,required --mount=type=secret,id=FROM_ENV,env=TOKEN cp /run/secrets/file /seen && echo $TOKEN >> /seen\n',
    });
    const file = join(folder, '..', 'hush');
    await writeFile(file, 'of the file\n');
    const build = (...args: string[]) =>
      engine.wherry(['build', '-q', '-t', 'secret', ...args, folder], { env: { FROM_ENV: 'of the environment' } });
    const without = await build();
    expect([without.code, without.stderr]).toEqual([1, expect.stringContaining('secret file: not found')]);
    expect((await build('--secret', `id=file,src=${file}`, '--secret', 'id=FROM_ENV')).code).toBe(0);
    expect(await run('secret', 'sh', '-c', 'cat /seen; ls /run/secrets; echo "[$TOKEN]"')).toBe(
      'of the file\nof the environment\n[]\n',
    );
    expect(await engine.mustDocker(['history', '--no-trunc', 'secret'])).not.toContain('of the');
  });

  it('by wherry says why each step is not cached, and ends as docker does', async () => {
    const folder = await context('why', {
      Dockerfile: 'FROM busybox\nARG MODE=slow\nCOPY . /app/\nRUN echo $MODE > /mode\nCMD ["cat", "/mode"]\n',
      '.dockerignore': 'Dockerfile\nnode_modules\n.dockerignore\n',
      'main.js': 'one',
      'sub/other.js': 'other',
      'node_modules/x/index.js': 'left out',
    });
    const build = (...args: string[]) => engine.wherry(['build', '-t', 'why', ...args, folder]);
    const reasons = (output: string): string[] => output.match(/(?<= ---> Not cached: ).*/g) ?? [];
    const first = await build('--why');
    expect([first.code, first.stderr]).toEqual([0, '']);
    expect(first.stdout).toContain('Successfully tagged why:latest');
    expect(reasons(first.stdout)).toEqual([
      expect.stringMatching(/^no image with this step/),
      'parent changed: step 2 was not cached',
      'parent changed: step 2 was not cached',
      'parent changed: step 2 was not cached',
    ]);
    expect(await run('why')).toBe('slow\n');
    expect((await run('why', 'find', '/app', '-type', 'f')).split('\n').sort().filter(Boolean)).toEqual([
      '/app/main.js',
      '/app/sub/other.js',
    ]);
    expect(reasons((await build('--why')).stdout)).toEqual([]);
    expect(reasons((await build('--why', '--build-arg', 'MODE=fast')).stdout)).toEqual([
      'build argument MODE changed',
      'parent changed: step 4 was not cached',
    ]);
    await writeFile(join(folder, 'main.js'), 'two');
    await writeFile(join(folder, 'sub', 'new.js'), 'new');
    const untold = await engine.mustDocker(['build', '--target', 'none', folder]).catch(String);
    expect(untold).not.toContain('Not cached');
    expect(reasons((await build('--why')).stdout)).toEqual([
      'COPY: main.js changed, sub/new.js added',
      'parent changed: step 3 was not cached',
      'parent changed: step 3 was not cached',
    ]);
  });

  it('by wherry takes what docker build takes', async () => {
    const wherry = (args: readonly string[], input?: string | Buffer) =>
      engine.wherry(['build', '-q', ...args], { input, env: { FROM_ENV: 'of the environment' } });
    const folder = await context('wherry-build', {
      'a.txt': 'a\n',
      'docker/File': 'FROM busybox\nCOPY a.txt /from-file\n',
    });
    const idFile = join(folder, 'id');
    const byFile = await wherry(['-f', join(folder, 'docker', 'File'), '--iidfile', idFile, folder]);
    const id = byFile.stdout.trim();
    expect([byFile.code, byFile.stderr, await readFile(idFile, 'utf8')]).toEqual([0, '', id]);
    expect(await run(id, 'cat', '/from-file')).toBe('a\n');
    const text = 'FROM busybox AS one\nARG FROM_ENV\nRUN echo "$FROM_ENV" > /env\nFROM one\nRUN exit 9\n';
    const target = await wherry(['-', '--target', 'one', '--build-arg', 'FROM_ENV', '--label', 'l=v'], text);
    expect(await run(target.stdout.trim(), 'cat', '/env')).toBe('of the environment\n');
    expect(await engine.mustDocker(['image', 'inspect', '-f', '{{json .Config.Labels}}', target.stdout.trim()])).toBe(
      '{"l":"v"}\n',
    );
    const outside = await wherry(['-f', '-', folder], 'FROM busybox\nCOPY a.txt /outside\n');
    expect(await run(outside.stdout.trim(), 'cat', '/outside')).toBe('a\n');
    const failed = await wherry(['-'], text);
    expect([failed.code, failed.stdout]).toEqual([9, '']);
    expect(failed.stderr).toMatch(/The command '\/bin\/sh -c exit 9' returned a non-zero code: 9\n$/);
    const { stdout: archive } = await engine.machine.run('sh', ['-c', 'tar c a.txt docker | base64'], { cwd: folder });
    const packed = await wherry(['-f', 'docker/File', '-'], Buffer.from(archive, 'base64'));
    expect(packed.stdout).toBe(byFile.stdout);
    const refused = await wherry(['-t', 'BAD', folder]);
    expect([refused.code, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toMatch(/^Error: invalid reference format: repository name .* must be lowercase\n$/);
    expect((await wherry(['nosuch-folder'])).stderr).toMatch(/^Error: path ".*nosuch-folder" not found\n$/);
  });

  it('builds a branch’s folder of a git repository that the daemon fetches', async () => {
    const { machine } = engine;
    const git = async (...args: string[]): Promise<string> => {
      const env = { GIT_CONFIG_GLOBAL: '/dev/null' };
      const ran = await machine.run('git', ['-C', work, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args], { env });
      expect([ran.code, ran.stderr]).toEqual([0, '']);
      return ran.stdout.trim();
    };
    const work = await context('git/repository', {
      'dir/Dockerfile': 'FROM busybox\nCOPY . /got\n',
      'dir/a.txt': 'a\n',
    });
    await git('init', '-q', '-b', 'work');
    await git('add', '.');
    await git('commit', '-q', '-m', 'one');
    const daemon = join(await git('--exec-path'), 'git-daemon');
    const served = ['--verbose', '--export-all', '--listen=127.0.0.1', `--base-path=${dirname(work)}`];
    await using server = machine.start(daemon, served);
    await server.waitFor('Ready to rumble');
    const address = 'git://127.0.0.1/repository#work:dir';
    const built = await engine.wherry(['build', '-q', address]);
    expect(built.stderr).toBe('');
    expect((await run(built.stdout.trim(), 'ls', '/got')).split('\n')).toEqual(['Dockerfile', 'a.txt', '']);
    const input = `FROM busybox\nADD ${address} /added/\n`;
    const added = await engine.mustDocker(['build', '-q', '-'], { input });
    expect(await run(added.trim(), 'cat', '/added/a.txt')).toBe('a\n');
  });

  it('reaches what is outside of the machine by the default network, and nothing without one', async () => {
    const { machine } = engine;
    const outside = `${machine.netns.split('/').at(-1)}-out`;
    const sh = async (script: string): Promise<void> => {
      const { code, stderr } = await machine.run('sh', ['-ec', script]);
      expect([code, stderr]).toEqual([0, '']);
    };
    await sh(`ip netns add ${outside}; ip link add up0 type veth peer name down0 netns ${outside}
      ip addr add 198.51.100.1/24 dev up0; ip link set up0 up; ip route add default via 198.51.100.2
      ip -n ${outside} addr add 198.51.100.2/24 dev down0; ip -n ${outside} link set down0 up`);
    try {
      const www = await context('www', { package: 'from outside\n' });
      const serve = ['/bin/busybox', 'httpd', '-f', '-p', '198.51.100.2:80', '-h', www];
      await using _ = machine.start('nsenter', [`--net=/run/netns/${outside}`, ...serve]);
      const ask = 'printf "GET /package HTTP/1.0\\r\\n\\r\\n" | nc 198.51.100.2 80';
      const input = `FROM busybox\nRUN ${ask} > /got\n`;
      const url = 'http://198.51.100.2/package';
      await machine.run('curl', ['-s', '--retry', '50', '--retry-connrefused', '--retry-delay', '0', url]);
      const id = await engine.mustDocker(['build', '-q', '-'], { input });
      expect(await run(id.trim(), 'cat', '/got')).toMatch(/^HTTP\/1.*200 OK[\s\S]*\nfrom outside\n$/);
      const none = await engine.docker(['build', '--network=none', '--no-cache', '-'], { input });
      expect(none.code).toBe(1);
      expect(none.stdout + none.stderr).toContain('Network is unreachable');
    } finally {
      await sh(`ip netns del ${outside}; ip link del up0 2> /dev/null || true`);
    }
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

  it('takes from --cache-from what an image that came as an archive was made of', async () => {
    const folder = await context('cache-from', {
      Dockerfile:
        'FROM busybox\nENV A=b\nCOPY a.txt /\nRUN cat /proc/sys/kernel/random/uuid > /when\nRUN cat /when /a.txt > /both\nCMD ["cat", "/both"]\n',
      'a.txt': 'one\n',
    });
    const archive = join(folder, '..', 'cache-from.tar');
    const build = (...args: string[]): Promise<string> => engine.mustDocker(['build', '-t', 'later', ...args, folder]);
    const hits = (output: string): number => output.match(/Using cache/g)?.length ?? 0;
    await engine.mustDocker(['build', '-t', 'first', folder]);
    const before = await run('first');
    await engine.mustDocker(['save', '-o', archive, 'first']);
    await engine.mustDocker(['rmi', 'first']);
    await engine.mustDocker(['builder', 'prune', '-af']);
    await engine.mustDocker(['load', '-i', archive]);
    expect(hits(await build('--cache-from', 'first'))).toBe(5);
    expect(await run('later')).toBe(before);
    await writeFile(join(folder, 'a.txt'), 'two\n');
    expect(hits(await build('--cache-from', 'first'))).toBe(1);
    expect(await run('later')).toMatch(/^[0-9a-f-]{36}\ntwo\n$/);
    expect(hits(await build('--cache-from', 'none'))).toBe(0);
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
