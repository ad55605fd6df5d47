import { mediaTypes } from '@wherry/oci';
import { expect, it } from 'vitest';
import { onEachStorage } from '../storages.ts';
import { imageManifest, sha256, sha512, TestRegistry } from '../test-client.ts';

// What distribution-spec 1.1 requires of pushing manifests.

onEachStorage((client) => {
  it('takes a manifest by tag and by digest, with its location', async () => {
    const { text, digest } = await client.pushImage('push/manifest', 'v1');
    for (const reference of ['v2', digest]) {
      const answer = await client.pushManifest('push/manifest', reference, text, mediaTypes.ociManifest);
      expect([answer.status, answer.headers.location]).toEqual([201, `/v2/push/manifest/manifests/${digest}`]);
      expect(answer.headers['docker-content-digest']).toBe(digest);
    }
    const long = sha512(text);
    expect((await client.pushManifest('push/manifest', long, text, mediaTypes.ociManifest)).status).toBe(201);
    expect((await client.get(`/v2/push/manifest/manifests/${long}`)).body.toString()).toBe(text);
    expect((await client.pushManifest('push/manifest', sha256('x'), text, mediaTypes.ociManifest)).code).toBe(
      'DIGEST_INVALID',
    );
  });

  it('takes docker manifests, lists and indexes of what is there', async () => {
    const { config, layer, digest, size } = await client.pushImage('push/types', 'oci');
    const docker = {
      ...imageManifest({ digest: config, size: 1 }, { digest: layer, size: 5 }),
      mediaType: mediaTypes.dockerManifest,
    };
    expect((await client.pushManifest('push/types', 'docker', docker)).status).toBe(201);
    expect((await client.get('/v2/push/types/manifests/docker')).headers['content-type']).toBe(
      mediaTypes.dockerManifest,
    );
    for (const [tag, mediaType] of [
      ['index', mediaTypes.ociIndex],
      ['list', mediaTypes.dockerList],
    ] as const) {
      const index = { schemaVersion: 2, mediaType, manifests: [{ mediaType: mediaTypes.ociManifest, digest, size }] };
      expect((await client.pushManifest('push/types', tag, index)).status).toBe(201);
      const missing = { ...index, manifests: [{ mediaType: mediaTypes.ociManifest, digest: sha256('gone'), size }] };
      expect((await client.pushManifest('push/types', tag, missing)).code).toBe('MANIFEST_BLOB_UNKNOWN');
    }
    const empty = imageManifest({ digest: config, size: 1 });
    expect((await client.pushManifest('push/types', 'no-layers', empty)).status).toBe(201);
  });

  it('refuses a manifest whose blobs are not in the repository, and names them', async () => {
    const { text, config, layer } = await client.pushImage('push/whole', 'v1');
    const answer = await client.pushManifest('push/partial', 'v1', text, mediaTypes.ociManifest);
    expect([answer.status, answer.code]).toEqual([404, 'MANIFEST_BLOB_UNKNOWN']);
    expect(answer.json().errors[0]!.detail).toEqual([{ Digest: config }, { Digest: layer }]);
    expect((await client.get('/v2/push/partial/manifests/v1')).status).toBe(404);
    const foreign = imageManifest({ digest: config, size: 1 });
    foreign.layers = [
      {
        mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
        digest: sha256('windows'),
        size: 9,
        urls: ['https://x/'],
      },
    ];
    expect((await client.pushManifest('push/whole', 'foreign', foreign)).status).toBe(201);
  });

  it.each([
    ['no JSON', 'blablabla', undefined],
    ['no object', '[]', undefined],
    ['schema 1', JSON.stringify({ schemaVersion: 1 }), 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    [
      'another version',
      JSON.stringify({ schemaVersion: 3, mediaType: mediaTypes.ociIndex, manifests: [] }),
      mediaTypes.ociIndex,
    ],
    ['an unknown type', JSON.stringify({ schemaVersion: 2 }), 'application/json'],
    ['no config', JSON.stringify({ schemaVersion: 2, layers: [] }), undefined],
    [
      'two types',
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.dockerList, manifests: [] }),
      mediaTypes.ociIndex,
    ],
    [
      'both kinds',
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], layers: [] }),
      mediaTypes.ociIndex,
    ],
    ['a size below zero', JSON.stringify(imageManifest({ digest: sha256(''), size: -1 })), undefined],
    ['no digest', JSON.stringify(imageManifest({ digest: '../../x', size: 1 })), undefined],
  ])('refuses a manifest with %s', async (_what, body, type) => {
    const answer = await client.pushManifest('push/invalid', 'v1', body, type);
    expect([answer.status, answer.code]).toEqual([400, 'MANIFEST_INVALID']);
  });

  it('reads a subject that is null as none', async () => {
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], subject: null };
    const answer = await client.pushManifest('push/null', 'v1', index);
    expect([answer.status, answer.headers['oci-subject']]).toEqual([201, undefined]);
  });

  it('takes a manifest without Content-Type that says its type itself', async () => {
    const { text } = await client.pushImage('push/untyped', 'v1');
    expect((await client.send('PUT', '/v2/push/untyped/manifests/v2', { body: text })).status).toBe(201);
  });

  it('gives a manifest that comes by its digest the tags that are asked for', async () => {
    const { text } = await client.pushImage('push/tagged', 'v1');
    for (const digest of [sha256(text), sha512(text)]) {
      const put = (query: string) =>
        client.pushManifest('push/tagged', `${digest}?${query}`, text, mediaTypes.ociManifest);
      const answer = await put('tag=a&tag=b&tag=a');
      expect([answer.status, answer.headers['oci-tag']]).toEqual([201, 'a, b']);
      for (const tag of ['a', 'b'])
        expect((await client.head(`/v2/push/tagged/manifests/${tag}`)).headers['docker-content-digest']).toBe(digest);
      expect((await put('tag=-x&tag=c')).code).toBe('TAG_INVALID');
      expect((await put(Array.from({ length: 101 }, (_, n) => `tag=t${n}`).join('&'))).status).toBe(414);
    }
    expect((await client.get('/v2/push/tagged/tags/list')).json().tags).toEqual(['a', 'b', 'v1']);
    const byTag = await client.pushManifest('push/tagged', 'v2?tag=ignored', text, mediaTypes.ociManifest);
    expect([byTag.status, byTag.headers['oci-tag']]).toEqual([201, undefined]);
  });

  it('changes a tag only from what the client expects', async () => {
    const path = '/v2/push/expected/manifests/v1';
    const [one, two] = [
      await client.pushImage('push/expected', 'one', '1'),
      await client.pushImage('push/expected', 'two', '2'),
    ];
    const put = async (text: string, headers: Record<string, string>) => {
      const sent = { 'Content-Type': mediaTypes.ociManifest, ...headers };
      return (await client.send('PUT', path, { body: text, headers: sent })).status;
    };
    const now = async () => (await client.head(path)).headers.etag;
    expect(await put(one.text, { 'If-Match': `"${one.digest}"` })).toBe(412);
    expect(await put(one.text, { 'If-Match': '*' })).toBe(412);
    expect(await put(one.text, { 'If-None-Match': '*' })).toBe(201);
    expect(await put(two.text, { 'If-None-Match': '*' })).toBe(412);
    expect(await put(two.text, { 'If-Match': `"${two.digest}", W/"${one.digest}"` })).toBe(412);
    expect(await now()).toBe(`"${one.digest}"`);
    // Of many at once one wins, the others are told.
    const statuses = await Promise.all(
      Array.from({ length: 5 }, () => put(two.text, { 'If-Match': `"${one.digest}"` })),
    );
    expect(statuses.sort()).toEqual([201, 412, 412, 412, 412]);
    const refused = await client.send('DELETE', path, { headers: { 'If-Match': `"${one.digest}"` } });
    expect([refused.status, refused.code, refused.headers.etag]).toEqual([412, 'DENIED', `"${two.digest}"`]);
    expect(await now()).toBe(`"${two.digest}"`);
    const removed = await client.send('DELETE', path, { headers: { 'If-Match': `"${two.digest}"` } });
    expect(removed.status).toBe(202);
  });

  it('refuses tags that are none', async () => {
    const { text } = await client.pushImage('push/tags', 'v1');
    for (const tag of ['-x', '.x', 'x'.repeat(129), 'a b'.replace(' ', '%20')])
      expect((await client.pushManifest('push/tags', tag, text, mediaTypes.ociManifest)).code).toBe('TAG_INVALID');
    expect((await client.pushManifest('push/tags', 'x'.repeat(128), text, mediaTypes.ociManifest)).status).toBe(201);
  });
});

it('takes manifests of which parts are missing where it is told so, and keeps them', async () => {
  await using registry = await TestRegistry.start({ sparse: true });
  const { client } = registry;
  const { config, text, digest, size } = await client.pushImage('part', 'whole');
  const image = imageManifest({ digest: config, size: 1 }, { digest: sha256('a layer elsewhere'), size: 5 });
  expect((await client.pushManifest('part', 'image', image)).status).toBe(201);
  const named = [digest, sha256('another platform')].map((one) => ({
    mediaType: mediaTypes.ociManifest,
    digest: one,
    size,
  }));
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: named };
  expect((await client.pushManifest('part', 'index', index)).status).toBe(201);
  await registry.registry.collectGarbage({ grace: 0, untagged: true });
  expect((await client.get('/v2/part/manifests/image')).json()).toEqual(image);
  expect((await client.get('/v2/part/manifests/index')).json()).toEqual(index);
  expect((await client.get(`/v2/part/manifests/${digest}`)).body.toString()).toBe(text);
  expect((await client.get(`/v2/part/manifests/${named[1]!.digest}`)).status).toBe(404);
});
