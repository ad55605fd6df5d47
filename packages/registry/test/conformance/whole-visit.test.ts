import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Descriptor, mediaTypes } from '@wherry/oci';
import { hashSync } from 'bcryptjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Http2Client } from '../http2-client.ts';
import { type StoredRegistry, startOn, storages } from '../storages.ts';
import { type Answer, sha256 } from '../test-client.ts';
import { type Login, Visitor } from '../visitor.ts';

// One visitor goes through all that distribution-spec 1.1's conformance suite knows, in its order, where each part
// finds what the earlier ones left: pull, push, content discovery, content management.

const name = 'visit/app';
const other = 'visit/elsewhere';
const absent = sha256('nobody pushed this');
const octets = { 'Content-Type': 'application/octet-stream' };
const imageType = { 'Content-Type': mediaTypes.ociManifest };
const emptyType = 'application/vnd.oci.empty.v1+json';
const layer = 'a layer that all images share';
const users: Readonly<Record<Login, object>> = {
  nobody: {},
  password: { auth: { tokens: false } },
  token: { auth: { tokens: true } },
};

const descriptorOf = (mediaType: string, content: string): Descriptor => ({
  mediaType,
  digest: sha256(content),
  size: Buffer.byteLength(content),
});

/** An image of its own config, with a field that nobody knows and the config's bytes in its descriptor. */
function imageOf(config: string, more: object = {}): string {
  const described = descriptorOf(mediaTypes.ociConfig, config);
  const data = Buffer.from(config).toString('base64');
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { ...described, data, newUnspecifiedField: 'aGVsbG8=' },
    layers: [descriptorOf(mediaTypes.ociLayerGzip, layer)],
    ...more,
  });
}

const configOf = (author: string): string => JSON.stringify({ architecture: 'amd64', os: 'linux', author });

const visits = storages.flatMap((storage) => [
  ...(Object.keys(users) as Login[]).map((login) => [login, storage, 'HTTP/1.1'] as const),
  ['token', storage, 'HTTP/2'] as const,
]);

describe.each(visits)('a visit with %s, content in %s, by %s', (login, storage, protocol) => {
  let registry: StoredRegistry;
  let visitor: Visitor;
  let folder: string;
  let http2: Http2Client | undefined;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'wherry-visit-'));
    const htpasswd = join(folder, 'htpasswd');
    await writeFile(htpasswd, `alice:${hashSync('secret', 4)}\n`);
    const { auth } = users[login] as { auth?: object };
    registry = await startOn(storage, auth && { auth: { htpasswd, ...auth } });
    http2 = protocol === 'HTTP/2' ? await Http2Client.connect(registry.served, folder) : undefined;
    visitor = new Visitor(http2 ?? registry.served.client, { name: 'alice', password: 'secret' });
  });
  afterAll(async () => {
    http2?.[Symbol.dispose]();
    await registry[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  const send = (...request: Parameters<Visitor['send']>): Promise<Answer> => visitor.send(...request);
  const statusOf = async (...request: Parameters<Visitor['send']>): Promise<number> => (await send(...request)).status;
  const manifest = (reference: string): string => `/v2/${name}/manifests/${reference}`;
  const blob = (content: string): string => `/v2/${name}/blobs/${sha256(content)}`;
  const tags = async (query = ''): Promise<readonly string[]> => {
    const answer = await send('GET', `/v2/${name}/tags/list${query}`);
    expect(answer.status).toBe(200);
    return answer.json().tags;
  };
  /** What a part of the visit began with goes: blobs before the manifest that names them. */
  const cleanUp = async (image: string, ...blobs: readonly string[]): Promise<void> => {
    for (const content of blobs) expect(await statusOf('DELETE', blob(content))).toBe(202);
    expect(await statusOf('DELETE', manifest(sha256(image)))).toBe(202);
  };

  it('pulls', async () => {
    const config = configOf('pull');
    const image = imageOf(config);
    for (const content of [config, layer]) expect((await visitor.pushBlob(name, content)).status).toBe(201);
    expect(await statusOf('PUT', manifest('first'), image, imageType)).toBe(201);
    const [tag] = await tags();
    for (const method of ['HEAD', 'GET']) {
      expect(await statusOf(method, `/v2/${name}/blobs/${absent}`)).toBe(404);
      expect(await statusOf(method, manifest('.INVALID_MANIFEST_NAME'))).toBe(404);
      const found = await send(method, blob(config));
      expect([found.status, found.headers['docker-content-digest']]).toEqual([200, sha256(config)]);
      for (const reference of [sha256(image), tag!]) {
        const pulled = await send(method, manifest(reference), undefined, { Accept: mediaTypes.ociManifest });
        expect([pulled.status, pulled.headers['docker-content-digest']]).toEqual([200, sha256(image)]);
      }
    }
    const wrong = await send('PUT', manifest('sha256:totallywrong'), 'blablabla', imageType);
    expect([wrong.status, wrong.code]).toEqual([400, 'DIGEST_INVALID']);
    await cleanUp(image, config, layer);
  });

  const streamed = 'forty-two bytes that come in one long stream';
  const config = configOf('push');

  it('pushes blobs in a stream and whole', async () => {
    const begun = await send('POST', `/v2/${name}/blobs/uploads/`);
    const patched = await send('PATCH', Visitor.next(begun), streamed, octets);
    expect(patched.status).toBe(202);
    const ended = await send('PUT', Visitor.end(patched, sha256(streamed)), undefined, octets);
    expect([ended.status, ended.headers.location]).toEqual([201, blob(streamed)]);
    expect(await statusOf('GET', blob(config))).toBe(404);
    const posted = await send('POST', `/v2/${name}/blobs/uploads/?digest=${sha256(config)}`, config, octets);
    expect([posted.status, posted.headers.location]).toEqual([201, blob(config)]);
    expect(await statusOf('GET', blob(config))).toBe(200);
    for (const content of [config, layer]) {
      const put = await visitor.pushBlob(name, content);
      expect([put.status, put.headers.location]).toEqual([201, blob(content)]);
      expect((await send('GET', blob(content))).body.toString()).toBe(content);
    }
  });

  it('pushes a blob in chunks, whose order is kept', async () => {
    const [one, two] = ['the first chunk, ', 'and the second'];
    const ranges = [`0-${one.length - 1}`, `${one.length}-${one.length + two.length - 1}`] as const;
    const chunk = (answer: Answer, body: string, range: string): Promise<Answer> =>
      send('PATCH', Visitor.next(answer), body, { ...octets, 'Content-Range': range });
    const begin = (): Promise<Answer> =>
      send('POST', `/v2/${name}/blobs/uploads/`, undefined, { 'Content-Length': '0' });
    expect((await chunk(await begin(), two, ranges[1])).status).toBe(416);
    const begun = await begin();
    const first = await chunk(begun, one, ranges[0]);
    expect([first.status, first.headers.range]).toEqual([202, ranges[0]]);
    expect((await chunk(begun, one, ranges[0])).status).toBe(416);
    const asked = await send('GET', Visitor.next(begun));
    expect([asked.status, asked.headers.range]).toEqual([204, ranges[0]]);
    const second = await chunk(asked, two, ranges[1]);
    expect(second.status).toBe(202);
    const ended = await send('PUT', Visitor.end(second, sha256(one + two)), undefined, {
      ...octets,
      'Content-Length': '0',
    });
    expect([ended.status, ended.headers.location]).toEqual([201, blob(one + two)]);
    expect((await send('GET', Visitor.next(ended))).body.toString()).toBe(one + two);
  });

  it('mounts blobs of another repository', async () => {
    const mount = (query: string): Promise<Answer> => send('POST', `/v2/${other}/blobs/uploads/?mount=${query}`);
    for (const query of [absent, `${absent}&from=${name}`]) {
      const begun = await mount(query);
      expect([begun.status, Visitor.next(begun)]).toEqual([202, expect.stringMatching(`^/v2/${other}/blobs/uploads/`)]);
    }
    const mounted = await mount(`${sha256(streamed)}&from=${name}`);
    expect([mounted.status, Visitor.next(mounted)]).toEqual([201, `/v2/${other}/blobs/${sha256(streamed)}`]);
    expect((await send('GET', Visitor.next(mounted))).body.toString()).toBe(streamed);
    expect((await mount(sha256(streamed))).status).toBe(201);
    // Without `from` a token does not say where else its owner may pull.
    expect((await mount(sha256(config))).status).toBe(login === 'token' ? 202 : 201);
  });

  it('pushes manifests, also without layers and media type', async () => {
    const image = imageOf(config);
    expect(await statusOf('GET', manifest('.INVALID_MANIFEST_NAME'))).toBe(404);
    for (const reference of ['test0', 'test1', sha256(image)]) {
      const pushed = await send('PUT', manifest(reference), image, imageType);
      expect([pushed.status, pushed.headers.location]).toEqual([201, manifest(sha256(image))]);
    }
    const bare = imageOf(config, { mediaType: undefined, layers: [] });
    expect(await statusOf('PUT', manifest('emptylayer'), bare, imageType)).toBe(201);
    expect((await send('GET', manifest(sha256(bare)))).headers['content-type']).toBe(mediaTypes.ociManifest);
    expect((await send('GET', manifest(sha256(image)))).body.toString()).toBe(image);
    await cleanUp(image, config, layer);
    expect(await statusOf('DELETE', manifest(sha256(bare)))).toBe(202);
  });

  it('lists tags in parts', async () => {
    const config = configOf('tags');
    const image = imageOf(config);
    for (const content of [config, layer]) await visitor.pushBlob(name, content);
    for (const tag of ['test0', 'test1', 'test2', 'test3'])
      expect(await statusOf('PUT', manifest(tag), image, imageType)).toBe(201);
    expect(await tags()).toEqual(['test0', 'test1', 'test2', 'test3']);
    expect(await tags('?n=2')).toEqual(['test0', 'test1']);
    expect(await tags('?n=2&last=test1')).toEqual(['test2', 'test3']);
    expect(await tags('?last=test1')).toEqual(['test2', 'test3']);
    await cleanUp(image, config, layer);
    expect(await tags()).toEqual([]);
  });

  it('lists what refers to a manifest, before it is there and when it never comes', async () => {
    const config = configOf('subject');
    const subject = imageOf(config);
    const never = descriptorOf(mediaTypes.ociManifest, imageOf(configOf('never pushed')));
    const types = { a: 'application/vnd.example.jam', b: 'application/vnd.example.butter' };
    const index = 'application/vnd.example.table';
    const push = async (value: object, about: Descriptor): Promise<string> => {
      const text = JSON.stringify({ schemaVersion: 2, subject: about, ...value });
      const { mediaType } = value as { mediaType: string };
      const pushed = await send('PUT', manifest(sha256(text)), text, { 'Content-Type': mediaType });
      expect([pushed.status, pushed.headers['oci-subject']]).toEqual([201, about.digest]);
      return text;
    };
    const about = descriptorOf(mediaTypes.ociManifest, subject);
    const asConfig = (type: string, content: string) => ({
      mediaType: mediaTypes.ociManifest,
      config: descriptorOf(type, content),
      layers: [descriptorOf(emptyType, '{}')],
      annotations: { note: `${content} as config` },
    });
    const asLayer = (type: string, content: string) => ({
      mediaType: mediaTypes.ociManifest,
      artifactType: type,
      config: descriptorOf(emptyType, '{}'),
      layers: [descriptorOf(type, content)],
      annotations: { note: `${content} as layer` },
    });
    for (const content of ['{}', 'jam']) await visitor.pushBlob(name, content);
    const texts = [await push(asConfig(types.a, 'jam'), about), await push(asLayer(types.a, 'jam'), about)];
    const manifests = texts.map((text) => descriptorOf(mediaTypes.ociManifest, text));
    const table = { mediaType: mediaTypes.ociIndex, artifactType: index, manifests, annotations: { note: 'table' } };
    texts.push(await push(table, about));
    for (const content of [config, layer, 'butter']) await visitor.pushBlob(name, content);
    expect(await statusOf('PUT', manifest('first'), subject, imageType)).toBe(201);
    texts.push(await push(asConfig(types.b, 'butter'), about), await push(asLayer(types.b, 'butter'), about));
    const late = await push(asLayer(types.b, 'butter'), never);

    const referrers = async (digest: string, query = ''): Promise<[Answer, readonly Descriptor[]]> => {
      const answer = await send('GET', `/v2/${name}/referrers/${digest}${query}`);
      expect([answer.status, answer.headers['content-type']]).toEqual([200, mediaTypes.ociIndex]);
      expect(answer.json()).toMatchObject({ schemaVersion: 2, mediaType: mediaTypes.ociIndex });
      return [answer, answer.json().manifests];
    };
    expect((await referrers(absent))[1]).toEqual([]);
    const [, all] = await referrers(about.digest);
    expect(all.map(({ digest }) => digest).sort()).toEqual(texts.map(sha256).sort());
    for (const { digest, annotations } of all)
      expect(annotations).toEqual(JSON.parse(texts.find((text) => sha256(text) === digest)!).annotations);
    const [filtered, some] = await referrers(about.digest, `?artifactType=${types.a}`);
    expect(filtered.headers['oci-filters-applied']).toBe('artifactType');
    expect(some.map(({ digest }) => digest).sort()).toEqual(texts.slice(0, 2).map(sha256).sort());
    expect((await referrers(never.digest))[1].map(({ digest }) => digest)).toEqual([sha256(late)]);
    await cleanUp(subject, config, layer);
    for (const text of texts) expect(await statusOf('DELETE', manifest(sha256(text)))).toBe(202);
    expect((await referrers(about.digest))[1]).toEqual([]);
  });

  it('deletes a tag, a manifest and blobs', async () => {
    const config = configOf('delete');
    const image = imageOf(config);
    for (const content of [config, layer]) await visitor.pushBlob(name, content);
    expect(await statusOf('PUT', manifest('goes'), image, imageType)).toBe(201);
    expect(await tags()).toEqual(['goes']);
    expect(await statusOf('DELETE', manifest('goes'))).toBe(202);
    expect(await statusOf('GET', manifest('goes'))).toBe(404);
    expect(await statusOf('DELETE', manifest(sha256(image)))).toBe(202);
    expect(await statusOf('GET', manifest(sha256(image)))).toBe(404);
    expect(await tags()).toEqual([]);
    for (const content of [config, layer]) {
      expect(await statusOf('DELETE', blob(content))).toBe(202);
      for (const method of ['GET', 'HEAD', 'DELETE']) expect(await statusOf(method, blob(content))).toBe(404);
    }
  });
});
