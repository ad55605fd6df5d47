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
