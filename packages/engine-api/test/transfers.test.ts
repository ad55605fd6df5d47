import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { deferred, WherryError } from '@wherry/base';
import { type Builder, BuildFiles, type BuildRequest } from '@wherry/builder';
import { type ConnectionBody, type TakenBody, type TarInput, unframed, writeTar } from '@wherry/images';
import { receive } from '@wherry/linux';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fakeImage, fakeImages, fakeOptions } from './fake-parts.ts';
import { serve } from './serving.ts';

const digest = `sha256:${'d'.repeat(64)}` as const;

function linesOf(text: string): unknown[] {
  return text
    .split('\r\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
}

describe('pull', () => {
  it('tells of layers as dockerd does', async () => {
    const asked: unknown[] = [];
    const images = fakeImages([], {
      pull: async (name, { onProgress, auth, platform } = {}) => {
        asked.push([name, auth, platform]);
        onProgress?.({ digest: `sha256:${'1'.repeat(64)}`, phase: 'exists' });
        onProgress?.({ digest, phase: 'announced' });
        onProgress?.({ digest, phase: 'waiting' });
        onProgress?.({ digest, phase: 'downloading', current: 0, total: 2_000_000 });
        onProgress?.({ digest, phase: 'downloading', current: 1_000, total: 2_000_000 });
        onProgress?.({ digest, phase: 'downloading', current: 2_000_000, total: 2_000_000 });
        onProgress?.({ digest, phase: 'verifying' });
        onProgress?.({ digest, phase: 'downloaded' });
        onProgress?.({ digest, phase: 'complete' });
        return { id: fakeImage('busybox').id, digest, isNew: true };
      },
    });
    await using api = await serve(fakeOptions({ images }));
    const auth = Buffer.from('{"username":"u","password":"p"}').toString('base64url');
    const { status, text } = await api.call(
      'POST',
      '/images/create?fromImage=busybox&tag=latest&platform=linux/arm64/v8',
      { headers: { 'X-Registry-Auth': auth } },
    );
    expect(status).toBe(200);
    const id = 'd'.repeat(12);
    expect(linesOf(text)).toEqual([
      { status: 'Pulling from library/busybox', id: 'latest' },
      { status: 'Already exists', progressDetail: {}, id: '1'.repeat(12) },
      { status: 'Pulling fs layer', progressDetail: {}, id },
      { status: 'Waiting', progressDetail: {}, id },
      {
        status: 'Downloading',
        progressDetail: { current: 0, total: 2_000_000 },
        progress: `[>${' '.repeat(50)}]       0B/2MB`,
        id,
      },
      {
        status: 'Downloading',
        progressDetail: { current: 2_000_000, total: 2_000_000 },
        progress: `[${'='.repeat(50)}>]      2MB/2MB`,
        id,
      },
      { status: 'Verifying Checksum', progressDetail: {}, id },
      { status: 'Download complete', progressDetail: {}, id },
      { status: 'Pull complete', progressDetail: {}, id },
      { status: `Digest: ${digest}` },
      { status: 'Status: Downloaded newer image for busybox:latest' },
    ]);
    expect(asked).toEqual([
      [
        'docker.io/library/busybox:latest',
        { username: 'u', password: 'p' },
        { os: 'linux', architecture: 'arm64', variant: 'v8' },
      ],
    ]);
  });

  it.each([
    ['notFound', 404],
    ['unavailable', 500],
    ['unauthorized', 500],
  ] as const)('fails with a status before it has begun: %s', async (code, status) => {
    const images = fakeImages([], {
      pull: async () => {
        throw new WherryError(code, 'words');
      },
    });
    await using api = await serve(fakeOptions({ images }));
    const answer = await api.call('POST', '/images/create?fromImage=x&tag=1');
    expect([answer.status, answer.text]).toEqual([status, '{"message":"words"}\n']);
  });

  it('fails on the stream once it has begun, and ends with its client', async () => {
    const images = fakeImages([], {
      pull: async (_name, { onProgress } = {}) => {
        onProgress?.({ digest, phase: 'waiting' });
        throw new WherryError('corrupt', 'words');
      },
    });
    await using api = await serve(fakeOptions({ images }));
    const { text } = await api.call('POST', '/images/create?fromImage=x&tag=1');
    expect(linesOf(text).at(-1)).toEqual({ errorDetail: { message: 'words' }, error: 'words' });
  });
});

describe('push, load and save', () => {
  it('pushes every tag of a repository', async () => {
    const names = ['127.0.0.1:5000/a:2', '127.0.0.1:5000/a:1', '127.0.0.1:5000/ab:1'];
    const images = fakeImages([fakeImage('a', { names })], {
      push: async (name, { allTags, onProgress, onPushed } = {}) => {
        if (!name.endsWith('/a') || !allTags) throw new WherryError('notFound', 'words');
        const tags = ['1', '2'].map((tag) => ({ tag, digest, size: 528 }));
        for (const tag of tags) {
          onProgress?.({ digest, phase: 'exists' });
          onPushed?.(tag);
        }
        return tags;
      },
    });
    await using api = await serve(fakeOptions({ images }));
    const pushed = await api.call('POST', '/images/127.0.0.1:5000/a/push');
    const ofTag = (Tag: string): unknown[] => [
      { status: 'Layer already exists', progressDetail: {}, id: 'd'.repeat(12) },
      { status: `${Tag}: digest: ${digest} size: 528` },
      { progressDetail: {}, aux: { Tag, Digest: digest, Size: 528 } },
    ];
    const first = { status: 'The push refers to repository [127.0.0.1:5000/a]' };
    expect(linesOf(pushed.text)).toEqual([first, ...ofTag('1'), ...ofTag('2')]);
    const missing = await api.call('POST', '/images/127.0.0.1:5000/none/push');
    const error = 'words';
    expect([missing.status, linesOf(missing.text).at(-1)]).toEqual([200, { errorDetail: { message: error }, error }]);
  });

  it('loads archives and refuses to save what is not here', async () => {
    let got = '';
    const missing = new WherryError('notFound', 'No such image: none');
    const refuse = (): AsyncIterable<Uint8Array> => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(missing) }),
    });
    const images = fakeImages([], {
      load: async (source, options) => {
        got = (await buffer(source as AsyncIterable<Uint8Array>)).toString();
        const loaded = [
          { id: digest, names: ['docker.io/library/a:1'] },
          { id: digest, names: [] },
          { id: digest, names: ['docker.io/library/old:1'], isLegacy: true },
        ];
        for (const image of loaded) options?.onLoaded?.(image);
        return loaded;
      },
      save: refuse,
    });
    await using api = await serve(fakeOptions({ images }));
    const loaded = await api.call('POST', '/images/load?quiet=1', { body: 'archive' });
    expect(got).toBe('archive');
    expect(linesOf(loaded.text)).toEqual([
      { stream: 'Loaded image: a:1\n' },
      { stream: `Loaded image ID: ${digest}\n` },
    ]);
    const saved = await api.call('GET', '/images/get?names=none');
    expect([saved.status, saved.text]).toEqual([404, '{"message":"No such image: none"}\n']);
  });
});

describe('a platform that is asked for', () => {
  it('is passed on since the version that knows it, and checked before a push', async () => {
    const asked: string[] = [];
    const one = fakeImage('a', { names: ['127.0.0.1:5000/a:1'] });
    const note = (call: string, platform: unknown): void => void asked.push(`${call} ${JSON.stringify(platform)}`);
    const images = fakeImages([one], {
      details: async (_, platform) => {
        note('details', platform);
        if (platform?.architecture === 's390x') throw new WherryError('notFound', 'not for s390x');
        return one;
      },
      load: async (_, options) => {
        for (const platform of options?.platforms ?? [undefined]) note('load', platform);
        return [];
      },
      save: (_, options) => {
        note('save', options?.platform);
        return (async function* () {})();
      },
      push: async () => [],
    });
    await using api = await serve(fakeOptions({ images }));
    const arm = encodeURIComponent('{"os":"linux","architecture":"arm64"}');
    const platform = '{"os":"linux","architecture":"arm64"}';
    for (const [version, known] of [
      ['1.50', true],
      ['1.45', false],
    ] as const) {
      asked.length = 0;
      await api.call('GET', `/v${version}/images/a/json?platform=${arm}`);
      await api.call('GET', `/v${version}/images/a/history?platform=${arm}`);
      await api.call('GET', `/v${version}/images/a/get?platform=${arm}`);
      await api.call('POST', `/v${version}/images/load?platform=${arm}`, { body: 'x' });
      const given = known ? platform : undefined;
      expect(asked).toEqual(['details', 'details', 'save', 'load'].map((call) => `${call} ${given}`));
    }
    const other = encodeURIComponent('{"os":"linux","architecture":"s390x"}');
    asked.length = 0;
    await api.call('POST', `/images/load?platform=${arm}&platform=${other}`, { body: 'x' });
    expect(asked).toEqual([`load ${platform}`, `load ${decodeURIComponent(other)}`]);
    const pushed = await api.call('POST', `/images/127.0.0.1:5000/a/push?tag=1&platform=${other}`);
    expect(linesOf(pushed.text).at(-1)).toEqual({ errorDetail: { message: 'not for s390x' }, error: 'not for s390x' });
  });
});

describe('the body of an archive', () => {
  const archive = randomBytes(9_000_000);
  const isTakeable = (body: AsyncIterable<Uint8Array>): ConnectionBody => body as ConnectionBody;

  /** As a thread reads it. */
  async function restOf({ descriptor, read, framing }: TakenBody): Promise<Buffer> {
    const pieces = async function* (): AsyncGenerator<Buffer> {
      yield read;
      const room = Buffer.alloc(100_000);
      for (;;) {
        const count = receive(descriptor, room, 0);
        if (count === 0) return;
        if (count !== undefined) yield Buffer.from(room.subarray(0, count));
        // The client is in this process.
        else await new Promise(setImmediate);
      }
    };
    const found: Buffer[] = [];
    for await (const piece of unframed(pieces(), framing)) found.push(Buffer.from(piece));
    return Buffer.concat(found);
  }

  it.each([
    ['of a known length', { 'Content-Length': String(archive.length) }],
    ['in chunks', { 'Transfer-Encoding': 'chunked' }],
    ['that waits to be asked for', { 'Content-Length': String(archive.length), Expect: '100-continue' }],
  ])('%s is read from the connection, or here, by whoever loads it', async (_, headers) => {
    const got: Buffer[] = [];
    const images = fakeImages([], {
      load: async (body) => {
        const source = body as AsyncIterable<Uint8Array>;
        const isRead = got.length === 1;
        const taken = got.length === 0 ? undefined : isTakeable(source).takeOver();
        if (!isRead) taken?.giveBack();
        got.push(isRead ? await restOf(taken!) : await buffer(source));
        if (isRead) taken![Symbol.dispose]();
        return [];
      },
    });
    await using api = await serve(fakeOptions({ images }));
    for (let n = 0; n < 3; n++) {
      const { status, text } = await api.call('POST', '/images/load', { body: archive, headers });
      expect([status, linesOf(text)]).toEqual([200, [{ stream: '' }]]);
      expect(got[n]!.equals(archive)).toBe(true);
    }
  });

  it('that nobody wants to its end does not keep the client from the answer', async () => {
    const images = fakeImages([], {
      load: async (body) => {
        using _ = isTakeable(body as AsyncIterable<Uint8Array>).takeOver();
        throw new WherryError('corrupt', 'no archive');
      },
    });
    await using api = await serve(fakeOptions({ images }));
    const { text } = await api.call('POST', '/images/load', { body: archive });
    expect(linesOf(text)).toEqual([{ errorDetail: { message: 'no archive' }, error: 'no archive' }]);
  });

  it('ends with a client that goes in the middle, which is told of afterwards, too', async () => {
    const [ended, gone] = [deferred<unknown>(), deferred()];
    const images = fakeImages([], {
      load: async (body, options) => {
        {
          using taken = isTakeable(body as AsyncIterable<Uint8Array>).takeOver()!;
          ended.resolve(await restOf(taken).catch((error: Error) => error.message));
        }
        options?.signal?.addEventListener('abort', () => gone.resolve());
        if (options?.signal?.aborted) gone.resolve();
        await gone.promise;
        return [];
      },
    });
    await using api = await serve(fakeOptions({ images }));
    const socket = await api.connect();
    socket.on('error', () => undefined);
    const head = 'POST /images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
    socket.write(`${head}5\r\nhel`, () => socket.destroy());
    expect(await ended.promise).toBe('unexpected EOF');
    await gone.promise;
  });
});

describe('import', () => {
  it('makes an image of an archive, with changes', async () => {
    const asked: unknown[] = [];
    const images = fakeImages([], {
      importImage: async (tar, options) => {
        asked.push((await buffer(tar)).toString(), options);
        return { id: digest, names: [] };
      },
    });
    await using api = await serve(fakeOptions({ images }));
    const query = `fromSrc=-&repo=a&tag=1&message=m&changes=${encodeURIComponent('CMD ["x"]')}`;
    const { text } = await api.call('POST', `/images/create?${query}`, { body: 'archive' });
    expect(linesOf(text)).toEqual([{ status: digest }]);
    expect(asked).toMatchObject(['archive', { references: ['a:1'], message: 'm', config: { config: { Cmd: ['x'] } } }]);
    const refused = await api.call('POST', '/images/create?fromSrc=-&changes=RUN+x', { body: 'archive' });
    expect([refused.status, refused.text]).toEqual([400, '{"message":"RUN is not a valid change command"}\n']);
  });
});

describe('build', () => {
  let temporaryDirectory: string;
  beforeEach(async () => {
    temporaryDirectory = await mkdtemp(join(tmpdir(), 'engine-api-'));
  });
  afterEach(async () => {
    expect(await readdir(temporaryDirectory)).toEqual([]);
    await rm(temporaryDirectory, { recursive: true });
  });

  function tarOf(entries: readonly TarInput[]): Promise<Buffer> {
    return buffer(writeTar(entries));
  }

  const file = (name: string, text: string): TarInput => ({
    name,
    type: 'file',
    mode: 0o644,
    content: Buffer.from(text),
  });

  function builderOf(build: (request: BuildRequest) => Promise<{ imageId: string }>): Builder {
    const files = new BuildFiles();
    return {
      build,
      prune: async () => ({ deleted: [], bytes: 0 }),
      usage: async () => [],
      userOfImage: () => undefined,
      unpackContext: (archive, folder, signal) => files.unpackContext(archive, folder, signal),
    };
  }

  it('unpacks the context, asks the builder and says what the classic builder says', async () => {
    let seen: unknown;
    const builder = builderOf(async (request) => {
      seen = {
        text: await readFile(join(request.context, 'sub/a.txt'), 'utf8'),
        dockerfile: request.dockerfile,
        name: request.dockerfileName,
        tags: request.tags,
        buildArguments: request.buildArguments,
        labels: request.labels,
        auth: request.auth('127.0.0.1:5000'),
      };
      const { onProgress } = request;
      onProgress({ type: 'step', number: 1, total: 2, instruction: 'FROM scratch', stage: 0 });
      onProgress({ type: 'done', number: 1, imageId: '' });
      onProgress({ type: 'step', number: 2, total: 2, instruction: 'RUN x', stage: 0 });
      onProgress({ type: 'running', number: 2, containerId: 'c'.repeat(64) });
      onProgress({ type: 'output', number: 2, stream: 'stderr', content: Buffer.from('hm\n') });
      onProgress({ type: 'removed', number: 2, containerId: 'c'.repeat(64) });
      onProgress({ type: 'done', number: 2, imageId: digest });
      onProgress({ type: 'stage', stage: 0, imageId: digest });
      onProgress({ type: 'warning', message: 'hm' });
      onProgress({ type: 'built', imageId: digest });
      return { imageId: digest };
    });
    await using api = await serve(fakeOptions({ builder, temporaryDirectory }));
    const body = gzipSync(await tarOf([file('dockerfile', 'FROM x'), file('sub/a.txt', 'content')]));
    const config = Buffer.from('{"127.0.0.1:5000":{"username":"u","password":"p"}}').toString('base64');
    const query = `t=a&t=a:latest&t=b:1&buildargs=${encodeURIComponent('{"X":"1","Y":null}')}&labels=${encodeURIComponent('{"l":"v"}')}`;
    const { text } = await api.call('POST', `/build?${query}`, { body, headers: { 'X-Registry-Config': config } });
    expect(seen).toEqual({
      text: 'content',
      dockerfile: 'FROM x',
      name: 'dockerfile',
      tags: ['a:latest', 'b:1'],
      buildArguments: { X: '1', Y: null },
      labels: { l: 'v' },
      auth: { username: 'u', password: 'p' },
    });
    expect(
      linesOf(text)
        .map((line) => (line as { stream?: string }).stream ?? JSON.stringify(line))
        .join(''),
    ).toBe(
      [
        'Step 1/2 : FROM scratch\n ---> \nStep 2/2 : RUN x\n ---> Running in cccccccccccc\n',
        '\u001b[91mhm\n\u001b[0m ---> Removed intermediate container cccccccccccc\n ---> dddddddddddd\n',
        `{"aux":{"ID":"${digest}"}}[Warning] hm\nSuccessfully built dddddddddddd\n`,
        'Successfully tagged a:latest\nSuccessfully tagged b:1\n',
      ].join(''),
    );
  });

  it('takes an archive that ends with the last content, as the CLI sends it', async () => {
    const seen: string[] = [];
    const builder = builderOf(async ({ dockerfile }) => {
      seen.push(dockerfile);
      return { imageId: digest };
    });
    await using api = await serve(fakeOptions({ builder, temporaryDirectory }));
    const whole = await tarOf([file('a', 'x'), file('.dockerfile.1', 'FROM x\n')]);
    const end = whole.indexOf('FROM x\n') + 7;
    const kept = await api.call('POST', '/build?dockerfile=.dockerfile.1', { body: whole.subarray(0, end) });
    expect([kept.status, seen]).toEqual([200, ['FROM x\n']]);
    const cut = await api.call('POST', '/build?dockerfile=.dockerfile.1', { body: whole.subarray(0, end - 1) });
    expect([cut.status, cut.text]).toEqual([500, '{"message":"unexpected EOF"}\n']);
  });

  it('gives a quiet build its id alone, and a failed one its lines and exit code', async () => {
    const builder = builderOf(async ({ onProgress, noCache }) => {
      onProgress({ type: 'warning', message: 'w' });
      if (!noCache) return { imageId: digest };
      throw new WherryError('invalid', 'words', { details: { exitCode: 3 } });
    });
    await using api = await serve(fakeOptions({ builder, temporaryDirectory }));
    const body = await tarOf([file('Dockerfile', 'FROM x')]);
    const good = await api.call('POST', '/build?q=1', { body });
    expect(linesOf(good.text)).toEqual([{ stream: `${digest}\n` }]);
    const bad = await api.call('POST', '/build?q=1&nocache=1', { body });
    expect(linesOf(bad.text)).toEqual([
      { stream: '[Warning] w\n' },
      { errorDetail: { code: 3, message: 'words' }, error: 'words' },
    ]);
  });

  it('says why steps are not cached to whom asks for it', async () => {
    const builder = builderOf(async ({ onProgress }) => {
      onProgress({ type: 'miss', number: 2, reason: 'COPY: a changed' });
      onProgress({ type: 'built', imageId: digest });
      return { imageId: digest };
    });
    await using api = await serve(fakeOptions({ builder, temporaryDirectory }));
    const body = await tarOf([file('Dockerfile', 'FROM x')]);
    // As Go's encoder writes it where nobody told it otherwise.
    expect((await api.call('POST', '/build?why=1', { body })).text).toContain(' ---\\u003e Not cached');
    const built = { stream: 'Successfully built dddddddddddd\n' };
    const why = await api.call('POST', '/build?why=1', { body });
    expect(linesOf(why.text)).toEqual([{ stream: ' ---> Not cached: COPY: a changed\n' }, built]);
    for (const query of ['', '?why=0']) {
      expect(linesOf((await api.call('POST', `/build${query}`, { body })).text)).toEqual([built]);
    }
  });

  it.each([
    ['', [file('x', 'y')], 500, 'Cannot locate specified Dockerfile: Dockerfile'],
    ['', [file('Dockerfile', '')], 400, 'the Dockerfile (Dockerfile) cannot be empty'],
    ['dockerfile=../../x', [file('Dockerfile', 'F')], 500, 'forbidden path outside the build context: ../../x ()'],
    ['', [file('../x', 'y')], 400, '"../x" leads out of the build context'],
    [
      't=BAD',
      [file('Dockerfile', 'F')],
      500,
      'invalid reference format: repository name (library/BAD) must be lowercase',
    ],
    [
      'buildargs=[]',
      [],
      400,
      'error reading build args: json: cannot unmarshal array into Go value of type map[string]*string',
    ],
    ['labels={"a":1}', [], 400, 'error reading labels: json: cannot unmarshal number into Go value of type string'],
    ['outputs=b', [], 400, "invalid outputs specified: invalid character 'b' looking for beginning of value"],
    ['remote=nope', [], 500, 'remoteURL (nope) could not be recognized as URL'],
    [
      'remote=client-session',
      [],
      400,
      'experimental session with v1 builder is no longer supported, use builder version v2 (BuildKit) instead',
    ],
    ['version=2', [], 501, 'BuildKit is not supported by this endpoint: build with DOCKER_BUILDKIT=0'],
    ['remote=git@x:y.git', [], 501, 'git@x:y.git: repositories are fetched by https, http and git, not by ssh'],
  ])('refuses %j with %j', async (query, entries, status, message) => {
    const builder = builderOf(async () => ({ imageId: digest }));
    await using api = await serve(fakeOptions({ builder, temporaryDirectory }));
    const answer = await api.call('POST', `/build?${encodeURI(query)}`, { body: await tarOf(entries) });
    expect([answer.status, JSON.parse(answer.text)]).toEqual([status, { message }]);
  });

  it('writes through no link of the context', async () => {
    const link: TarInput = { name: 'out', type: 'symlink', mode: 0o777, linkName: '/tmp' };
    let target = '';
    const builder = builderOf(async ({ context }) => {
      target = await readlink(join(context, 'out'));
      return { imageId: digest };
    });
    await using api = await serve(fakeOptions({ builder, temporaryDirectory }));
    const kept = await tarOf([link, file('Dockerfile', 'F')]);
    expect((await api.call('POST', '/build', { body: kept })).status).toBe(200);
    expect(target).toBe('/tmp');
    const through = await tarOf([link, file('out/engine-api-escaped', 'x'), file('Dockerfile', 'F')]);
    const refused = await api.call('POST', '/build', { body: through });
    expect([refused.status, JSON.parse(refused.text)]).toEqual([
      400,
      { message: 'out/engine-api-escaped: out is no folder of the build context' },
    ]);
  });
});
