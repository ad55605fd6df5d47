import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { buildCommand, buildQuery } from './build.ts';
import { BuildDisplay, type BuildMessage } from './build-display.ts';
import { parseFlags } from './flags.ts';

describe('wherry build', () => {
  const folder = { remote: undefined, dockerfileName: 'Dockerfile' };
  const query = (argv: readonly string[], source = folder as Parameters<typeof buildQuery>[2]) =>
    Object.fromEntries(buildQuery(parseFlags(buildCommand.flags, argv), { A: 'of the environment' }, source));

  it('asks for what docker build asks for', () => {
    expect(query(['.'])).toEqual({
      dockerfile: 'Dockerfile',
      rm: '1',
      version: '1',
      buildargs: '{}',
      labels: '{}',
      cachefrom: '[]',
    });
    const flags = ['--why', '--no-cache', '--pull', '-q', '--target', 'x', '--network', 'none', '--platform', 'linux'];
    expect(
      query([...flags, '--add-host', 'a:1.1.1.1', '--add-host', 'b:::1', '--label', 'l=a=b', '--label', 'm']),
    ).toEqual(
      expect.objectContaining({
        ...{ why: '1', nocache: '1', pull: '1', q: '1', target: 'x', networkmode: 'none', platform: 'linux' },
        extrahosts: 'a:1.1.1.1,b:::1',
        labels: '{"l":"a=b","m":""}',
      }),
    );
    expect(query(['--build-arg', 'A', '--build-arg', 'B=', '--build-arg', 'C']).buildargs).toBe(
      '{"A":"of the environment","B":"","C":null}',
    );
    expect(query(['-'], { remote: 'git://h/r', dockerfileName: '' })).toMatchObject({ remote: 'git://h/r' });
    const tags = buildQuery(parseFlags(buildCommand.flags, ['-t', 'a', '--tag=b']), {}, folder).getAll('t');
    expect(tags).toEqual(['a', 'b']);
  });

  it('asks for limits in the units that docker takes', () => {
    const sizes = ['-m', '1.5g', '--memory-swap=-1', '--shm-size', '64MiB', '--cgroup-parent', '/x'];
    const shares = ['-c', '512', '--cpu-period=1000', '--cpu-quota', '500', '--cpuset-cpus', '0-1', '--cpuset-mems=0'];
    expect(query([...sizes, ...shares, '--ulimit', 'nofile=10:20', '--ulimit=core=-1', '.'])).toMatchObject({
      ...{ memory: '1610612736', memswap: '-1', shmsize: '67108864', cgroupparent: '/x' },
      ...{ cpushares: '512', cpuperiod: '1000', cpuquota: '500', cpusetcpus: '0-1', cpusetmems: '0' },
      ulimits: '[{"Name":"nofile","Soft":10,"Hard":20},{"Name":"core","Soft":-1,"Hard":-1}]',
    });
    expect(query(['--memory', '100', '--memory-swap', '2k', '.'])).toMatchObject({ memory: '100', memswap: '2048' });
    for (const [flag, words] of [
      ['--memory=1x', `invalid argument "1x" for "-m, --memory" flag: invalid suffix: 'x'`],
      ['--memory=1.5ib', "invalid suffix: 'ib'"],
      ['--shm-size=-1', "invalid size: '-1'"],
      ['--ulimit=nofile', 'invalid argument "nofile" for "--ulimit" flag: invalid ulimit argument: nofile'],
      ['--ulimit=files=1', 'invalid ulimit type: files'],
      ['--ulimit=nofile=1:2:3', 'too many limit value arguments - 1:2:3, can only have up to two'],
      ['--ulimit=nofile=a', 'strconv.ParseInt: parsing "a": invalid syntax'],
      ['--ulimit=nofile=3:2', 'ulimit soft limit must be less than or equal to hard limit: 3 > 2'],
      ['--ulimit=nofile=-1:5', 'soft: -1 (unlimited), hard: 5'],
    ] as const)
      expect(() => query([flag, '.']), flag).toThrow(words);
  });

  function shown(quiet: boolean, messages: readonly BuildMessage[]) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const display = new BuildDisplay({ stdout, stderr, quiet });
    const codes = messages.map((message) => display.add(message));
    const text = (stream: PassThrough): string => String(stream.read() ?? '');
    return { stdout: text(stdout), stderr: text(stderr), codes, imageId: display.imageId };
  }
  const id = `sha256:${'d'.repeat(64)}`;

  it('prints steps as they come, downloads as they change, and keeps the image', () => {
    const messages = [
      { stream: 'Step 1/1 : FROM x' },
      { stream: '\n' },
      { status: 'Downloading', id: 'layer', progressDetail: { current: 5 } },
      { status: 'Pull \u001b[2J complete', id: 'layer', progressDetail: {} },
      { aux: { ID: id } },
    ];
    expect(shown(false, messages)).toMatchObject({
      stdout: 'Step 1/1 : FROM x\nlayer: Pull \\x1b[2J complete\n',
      stderr: '',
      imageId: id,
    });
  });

  it('prints of a quiet build the id, and what was done only where it failed', () => {
    expect(shown(true, [{ stream: `${id}\n` }])).toMatchObject({ stdout: `${id}\n`, stderr: '', imageId: id });
    const failed = shown(true, [{ stream: 'Step 1/1 : FROM x\n' }, { error: 'words', errorDetail: { code: 7 } }]);
    expect(failed).toEqual({
      stdout: '',
      stderr: 'Step 1/1 : FROM x\nwords\n',
      codes: [undefined, 7],
      imageId: '',
    });
  });

  it.each([
    [{ code: 3 }, 3],
    [{}, 1],
    [{ code: 0 }, 1],
    [{ code: 256 }, 1],
    [{ code: 1.5 }, 1],
  ])('ends with the code of %j', (errorDetail, code) => {
    expect(shown(false, [{ error: 'x', errorDetail }]).codes).toEqual([code]);
  });
});
