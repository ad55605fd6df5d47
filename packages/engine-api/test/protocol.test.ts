import { describe, expect, it } from 'vitest';
import type { EngineImages } from '../src/options.ts';
import { fakeContainers, fakeImage, fakeImages, fakeOptions } from './fake-parts.ts';
import { serve } from './serving.ts';

const json = { 'Content-Type': 'application/json' };

describe('the protocol', () => {
  it('answers pings with what clients negotiate by', async () => {
    let clients = 0;
    await using api = await serve({ ...fakeOptions(), onClient: () => clients++ });
    for (const method of ['GET', 'HEAD']) {
      const answer = await api.call(method, '/_ping');
      expect(answer).toMatchObject({ status: 200, text: method === 'GET' ? 'OK' : '' });
      expect(answer.headers).toMatchObject({
        'api-version': '1.50',
        'builder-version': '1',
        'docker-experimental': 'false',
        ostype: 'linux',
        server: 'Wherry/0.1.0 (linux)',
        swarm: 'inactive',
      });
    }
    expect(clients).toBe(2);
  });

  it.each([
    ['/v1.99/version', 'client version 1.99 is too new. Maximum supported API version is 1.50'],
    ['/v1.50.1/version', 'client version 1.50.1 is too new. Maximum supported API version is 1.50'],
    ['/v2.0/version', 'client version 2.0 is too new. Maximum supported API version is 1.50'],
    [
      '/v1.10/version',
      'client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version',
    ],
  ])('refuses %s', async (path, message) => {
    await using api = await serve(fakeOptions());
    const { status, text, headers } = await api.call('GET', path);
    expect([status, text]).toEqual([400, `${JSON.stringify({ message })}\n`]);
    expect(headers['docker-experimental']).toBeUndefined();
  });

  it.each(['/v1.24/version', '/v1.50/version', '/version'])('takes %s', async (path) => {
    await using api = await serve(fakeOptions());
    expect((await api.call('GET', path)).status).toBe(200);
  });

  it.each([
    ['GET', '/nosuch'],
    ['POST', '/version'],
    ['GET', '/containers/x/start'],
    ['HEAD', '/info'],
  ])('knows no %s %s', async (method, path) => {
    await using api = await serve(fakeOptions());
    const { status, text, headers } = await api.call(method, path);
    expect([status, text]).toEqual([404, method === 'HEAD' ? '' : '{"message":"page not found"}\n']);
    expect(headers['api-version']).toBeUndefined();
  });

  it('takes long heads, as saving many images has', async () => {
    await using api = await serve(fakeOptions());
    const headers = { 'X-Registry-Config': 'a'.repeat(500_000) };
    expect((await api.call('GET', `/version?names=${'b'.repeat(300_000)}`, { headers })).status).toBe(200);
    expect((await api.call('GET', `/version?names=${'b'.repeat(1_100_000)}`)).status).toBe(400);
  });

  it('sends what is not a clean path on, and refuses what is none', async () => {
    await using api = await serve(fakeOptions());
    const dirty = await api.call('GET', '/v1.45//version?a=b');
    expect([dirty.status, dirty.headers.location]).toEqual([301, '/v1.45/version?a=b']);
    const none = await api.call('GET', '/containers/%zz/json');
    expect([none.status, none.text]).toEqual([400, '400 Bad Request']);
  });

  it('answers OPTIONS of any path', async () => {
    await using api = await serve(fakeOptions());
    const { status, text, headers } = await api.call('OPTIONS', '/nosuch');
    expect([status, text, headers['api-version']]).toEqual([200, '', '1.50']);
  });

  it('takes names in a body in any case', async () => {
    const bodies: object[] = [];
    const create = async (body: object): Promise<{ Id: string; Warnings: string[] }> => {
      bodies.push(body);
      return { Id: 'x', Warnings: [] };
    };
    await using api = await serve(fakeOptions({ containers: fakeContainers({ create }) }));
    const body = JSON.stringify({ image: 'busybox', hostConfig: { memory: 7e6 } });
    await api.call('POST', '/v1.40/containers/create', { body, headers: json });
    expect(bodies).toEqual([{ image: 'busybox', hostConfig: { memory: 7e6, CgroupnsMode: 'host' } }]);
  });

  it('has its headers in the order of Go', async () => {
    await using api = await serve(fakeOptions());
    const names = async (method: string, path: string): Promise<string[]> =>
      Object.keys((await api.call(method, path)).headers).filter((name) => !/^(connection|keep-alive)$/.test(name));
    const always = ['api-version', 'builder-version', 'cache-control'];
    const others = ['docker-experimental', 'ostype', 'pragma', 'server', 'swarm', 'date'];
    expect(await names('GET', '/_ping')).toEqual([...always, ...others, 'content-length', 'content-type']);
    expect(await names('HEAD', '/_ping')).toEqual([...always, 'content-length', 'content-type', ...others]);
    for (const method of ['GET', 'HEAD'])
      expect(await names(method, '/nosuch')).toEqual(['content-type', 'date', 'content-length']);
  });

  it.each([
    ['{bad', json, "invalid JSON: invalid character 'b' looking for beginning of object key string"],
    ['', json, 'invalid JSON: got EOF while reading request body'],
    ['{} {}', json, 'unexpected content after JSON'],
    ['[]', json, 'invalid JSON: json: cannot unmarshal array into Go value of type runconfig.ContainerConfigWrapper'],
    ['{}', {}, 'malformed Content-Type header (): mime: no media type'],
    [
      '{}',
      { 'Content-Type': 'application/x-www-form-urlencoded' },
      "unsupported Content-Type header (application/x-www-form-urlencoded): must be 'application/json'",
    ],
  ])('refuses the body %j', async (body, headers, message) => {
    await using api = await serve(fakeOptions());
    const answer = await api.call('POST', '/containers/create', { body, headers: headers as Record<string, string> });
    expect([answer.status, JSON.parse(answer.text)]).toEqual([400, { message }]);
  });

  it('tells failures of the parts by their codes, with their words', async () => {
    await using api = await serve(fakeOptions());
    const missing = await api.call('GET', '/containers/quay.io/a/b:1/json');
    expect([missing.status, missing.text]).toEqual([404, '{"message":"No such container: quay.io/a/b:1"}\n']);
    const stopped = await api.call('POST', '/containers/web/stop');
    expect([stopped.status, stopped.text]).toEqual([304, '']);
    await expect(api.docker.getContainer('none').start()).rejects.toMatchObject({ statusCode: 404 });
  });

  it('hands bodies and queries to the containers', async () => {
    const seen: unknown[] = [];
    const create = async (...given: unknown[]): Promise<{ Id: string; Warnings: string[] }> => {
      seen.push(given);
      return { Id: 'i', Warnings: [] };
    };
    const list = async (...given: unknown[]): Promise<[]> => {
      seen.push(given);
      return [];
    };
    await using api = await serve(fakeOptions({ containers: fakeContainers({ create, list }) }));
    await api.docker.createContainer({ Image: 'x', name: 'n', HostConfig: {} });
    await api.call('POST', '/v1.39/containers/create', { body: '{"HostConfig":{}}', headers: json });
    await api.docker.listContainers({ all: true, limit: 3, filters: { label: ['a=b'] } });
    await api.call('GET', `/containers/json?filters=${encodeURIComponent('{"status":{"exited":true,"dead":false}}')}`);
    expect(seen).toEqual([
      [{ Image: 'x', name: 'n', HostConfig: {} }, { name: 'n' }],
      [{ HostConfig: { CgroupnsMode: 'host', IpcMode: 'shareable' } }, {}],
      [{ all: true, size: false, limit: 3, filters: new Map([['label', ['a=b']]]) }],
      [{ all: false, size: false, filters: new Map([['status', ['exited']]]) }],
    ]);
  });

  it('has nothing that others stand on among what dangles, of all images either', async () => {
    const images = fakeImages([
      fakeImage('below', { names: [] }),
      fakeImage('above', { names: [], parent: fakeImage('below').id }),
    ]);
    await using api = await serve(fakeOptions({ images }));
    const query = `all=1&filters=${encodeURIComponent('{"dangling":["true"]}')}`;
    const list = JSON.parse((await api.call('GET', `/images/json?${query}`)).text) as { Id: string }[];
    expect(list.map(({ Id }) => Id)).toEqual([fakeImage('above').id]);
  });

  it('says what layers images have in common, also with those that nobody lists', async () => {
    const layersOf = (...names: readonly string[]) =>
      names.map((name) => ({ ...fakeImage(name).layers[0]!, size: name.length }));
    const below = fakeImage('below', { names: [], layers: layersOf('one') });
    const above = fakeImage('above', { parent: below.id, layers: layersOf('one', 'two'), labels: { b: '1', a: '2' } });
    const sizes = new Map([...layersOf('one', 'two')].map(({ chainId }, at) => [chainId, at === 0 ? 30 : 7] as const));
    const images = fakeImages([below, above], { layerSizes: async () => sizes });
    await using api = await serve(fakeOptions({ images }));
    const shared = async (path: string): Promise<number[]> => {
      const { text } = await api.call('GET', path);
      return (JSON.parse(text) as { SharedSize: number }[]).map(({ SharedSize }) => SharedSize);
    };
    expect(await shared('/images/json?shared-size=1')).toEqual([30]);
    expect(await shared('/images/json?shared-size=1&all=1')).toEqual([30, 30]);
    expect(await shared('/images/json')).toEqual([-1]);
    const df = JSON.parse((await api.call('GET', '/system/df?type=image')).text) as object;
    expect(df).toMatchObject({ LayersSize: 37, Images: [{ SharedSize: 30 }] });
    const before = await api.call('GET', '/v1.43/system/df?type=image');
    expect(JSON.parse(before.text)).toMatchObject({ Images: [{ VirtualSize: 1000 }] });
    // Names as Go writes a map's.
    expect((await api.call('GET', '/images/json')).text).toContain('"Labels":{"a":"2","b":"1"}');
  });

  it.each([
    ['POST', '/images/busybox/tag?repo=q&tag=b%20d', 400, 'invalid tag format'],
    ['POST', '/images/create?fromImage=q&tag=b%20d', 400, 'invalid tag format'],
    ['DELETE', '/images/', 400, 'image name cannot be blank'],
    [
      'GET',
      '/images/json?filters=%7B%22until%22%3A%5B%22x%22%5D%7D',
      500,
      'failed to parse value as time or duration: "x"',
    ],
    [
      'POST',
      '/images/prune?filters=%7B%22until%22%3A%5B%22x%22%5D%7D',
      500,
      'failed to parse value as time or duration: "x"',
    ],
    ['GET', '/images/search?term=x&limit=a', 400, 'invalid limit specified: strconv.Atoi: parsing "a": invalid syntax'],
    ['POST', '/images/create?fromSrc=ftp%3A%2F%2Fh%2Fx', 500, 'Get "ftp://h/x": unsupported protocol scheme "ftp"'],
    ['POST', '/auth', 500, 'EOF'],
  ])('answers %s %s with %s: %s', async (method, path, status, message) => {
    await using api = await serve(fakeOptions({ images: fakeImages([fakeImage('busybox')]) }));
    const answer = await api.call(method, path);
    expect([answer.status, JSON.parse(answer.text)]).toEqual([status, { message }]);
  });

  it('reads credentials whatever type they are said to have', async () => {
    const login: EngineImages['login'] = async (server) => ({ status: server, identityToken: '' });
    await using api = await serve(fakeOptions({ images: fakeImages([], { login }) }));
    const answerTo = async (body: string): Promise<unknown> => {
      const { status, text } = await api.call('POST', '/auth', { body, headers: { 'Content-Type': 'text/plain' } });
      return [status, ...Object.values(JSON.parse(text) as object)];
    };
    expect(await answerTo('{"serveraddress":"r.example"}')).toEqual([200, '', 'r.example']);
    expect(await answerTo('x')).toEqual([500, "invalid character 'x' looking for beginning of value"]);
    const words = 'json: cannot unmarshal number into Go struct field AuthConfig.username of type string';
    expect(await answerTo('{"username":1}')).toEqual([500, words]);
  });

  it('lists and shows images', async () => {
    const images = fakeImages([fakeImage('busybox'), fakeImage('dang', { names: [], createdAt: 5 })]);
    await using api = await serve(fakeOptions({ images }));
    const list = JSON.parse((await api.call('GET', '/v1.45/images/json')).text) as { RepoTags: string[] }[];
    expect(list.map(({ RepoTags }) => RepoTags)).toEqual([['busybox:latest'], []]);
    const old = JSON.parse((await api.call('GET', '/v1.40/images/json')).text) as object[];
    expect(old[0]).toMatchObject({ RepoTags: ['busybox:latest'], RepoDigests: null });
    expect(old[1]).toMatchObject({ RepoTags: ['<none>:<none>'], VirtualSize: 1000 });
    const inspected = await api.docker.getImage('busybox').inspect();
    expect(inspected).toMatchObject({ RepoTags: ['busybox:latest'], Size: 1000, DockerVersion: '20.10' });
    const missing = await api.call('GET', '/images/nosuch/json');
    expect([missing.status, missing.text]).toEqual([404, '{"message":"No such image: nosuch:latest"}\n']);
    const filter = await api.call('GET', `/images/json?filters=${encodeURIComponent('{"bogus":["1"]}')}`);
    expect([filter.status, filter.text]).toEqual([400, `{"message":"invalid filter 'bogus'"}\n`]);
  });
});
