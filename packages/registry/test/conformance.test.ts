import { mediaTypes } from '@wherry/oci';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageManifest, sha256, sha512, type TestClient, TestRegistry } from './test-client.ts';

// What distribution-spec 1.1 requires, in the order of its text.

let registry: TestRegistry;
let client: TestClient;
beforeAll(async () => {
  registry = await TestRegistry.start();
  client = registry.client;
});
afterAll(() => registry[Symbol.asyncDispose]());

it('answers 200 at /v2/ with the version header', async () => {
  for (const path of ['/v2/', '/v2']) {
    const answer = await client.get(path);
    expect(answer.status).toBe(200);
    expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0');
  }
});

describe('pull', () => {
  it('gives a manifest by tag and by digest, byte for byte, with type, digest and length', async () => {
    const image = await client.pushImage('pull/app', 'v1');
    for (const reference of ['v1', image.digest]) {
      const answer = await client.get(`/v2/pull/app/manifests/${reference}`);
      expect(answer.status).toBe(200);
      expect(answer.body.toString()).toBe(image.text);
      expect(answer.headers['content-type']).toBe(mediaTypes.ociManifest);
      expect(answer.headers['docker-content-digest']).toBe(image.digest);
      const head = await client.head(`/v2/pull/app/manifests/${reference}`);
      expect(head.status).toBe(200);
      expect(head.headers['content-length']).toBe(String(image.size));
      expect(head.headers['docker-content-digest']).toBe(image.digest);
      expect(head.body.length).toBe(0);
    }
  });

  it('gives a blob, its head, and parts of it', async () => {
    const digest = await client.pushBlob('pull/app', '0123456789');
    const path = `/v2/pull/app/blobs/${digest}`;
    const whole = await client.get(path);
    expect([whole.status, whole.body.toString(), whole.headers['docker-content-digest']]).toEqual([
      200,
      '0123456789',
      digest,
    ]);
    const head = await client.head(path);
    expect([head.status, head.headers['content-length'], head.headers['accept-ranges']]).toEqual([200, '10', 'bytes']);
    for (const [range, expected, contentRange] of [
      ['bytes=2-4', '234', 'bytes 2-4/10'],
      ['bytes=7-', '789', 'bytes 7-9/10'],
      ['bytes=-3', '789', 'bytes 7-9/10'],
      ['bytes=5-100', '56789', 'bytes 5-9/10'],
    ] as const) {
      const part = await client.get(path, { Range: range });
      expect([part.status, part.body.toString(), part.headers['content-range']]).toEqual([206, expected, contentRange]);
      expect(part.headers['content-length']).toBe(String(expected.length));
    }
    const outside = await client.get(path, { Range: 'bytes=10-' });
    expect([outside.status, outside.headers['content-range'], outside.code]).toEqual([
      416,
      'bytes */10',
      'RANGE_INVALID',
    ]);
    for (const range of ['bytes=5-2', 'lines=1-2', 'bytes=0-1,3-4', 'bytes=-'])
      expect((await client.get(path, { Range: range })).status).toBe(200);
    expect((await client.get(path, { Range: 'bytes=2-4', 'If-Range': '"other"' })).status).toBe(200);
  });

  it('answers 304 to who has it already', async () => {
    const image = await client.pushImage('pull/app', 'etag');
    for (const path of [`manifests/etag`, `blobs/${image.layer}`]) {
      const { etag } = (await client.get(`/v2/pull/app/${path}`)).headers;
      for (const header of [etag!, `W/${etag}`, `"x", ${etag}`, '*']) {
        const answer = await client.get(`/v2/pull/app/${path}`, { 'If-None-Match': header });
        expect([answer.status, answer.body.length]).toEqual([304, 0]);
      }
      expect((await client.get(`/v2/pull/app/${path}`, { 'If-None-Match': '"x"' })).status).toBe(200);
    }
  });

  it.each([
    ['/v2/pull/app/manifests/nope', 404, 'MANIFEST_UNKNOWN'],
    ['/v2/pull/app/manifests/.INVALID_MANIFEST_NAME', 404, 'MANIFEST_UNKNOWN'],
    [`/v2/pull/app/manifests/${sha256('nothing')}`, 404, 'MANIFEST_UNKNOWN'],
    ['/v2/no/such/manifests/v1', 404, 'MANIFEST_UNKNOWN'],
    ['/v2/pull/app/manifests/sha256:totallywrong', 400, 'DIGEST_INVALID'],
    [`/v2/pull/app/blobs/${sha256('nothing')}`, 404, 'BLOB_UNKNOWN'],
    ['/v2/pull/app/blobs/sha256:123', 400, 'DIGEST_INVALID'],
    ['/v2/pull/app/blobs/md5:d41d8cd98f00b204e9800998ecf8427e', 400, 'DIGEST_INVALID'],
    ['/v2/Pull/App/manifests/v1', 400, 'NAME_INVALID'],
    ['/v2/pull/app/nothing/v1', 404, 'NAME_UNKNOWN'],
  ])('answers GET and HEAD of %s with %i', async (path, status, code) => {
    const answer = await client.get(path);
    expect([answer.status, answer.code]).toEqual([status, code]);
    expect(answer.json().errors[0]!.message).toEqual(expect.any(String));
    expect(answer.headers['content-type']).toMatch(/^application\/json/);
    const head = await client.head(path);
    expect([head.status, head.body.length]).toEqual([status, 0]);
  });

  it('keeps the blobs of one repository from others', async () => {
    const digest = await client.pushBlob('pull/private', 'only here');
    expect((await client.get(`/v2/pull/other/blobs/${digest}`)).code).toBe('BLOB_UNKNOWN');
  });
});

describe('push', () => {
  it.each([
    ['sha256', sha256],
    ['sha512', sha512],
  ])('takes a blob in one POST, by %s', async (_name, digestOf) => {
    const digest = digestOf('monolithic');
    const answer = await client.send('POST', `/v2/push/post/blobs/uploads/?digest=${digest}`, { body: 'monolithic' });
    expect(answer.status).toBe(201);
    expect(answer.headers.location).toBe(`/v2/push/post/blobs/${digest}`);
    expect((await client.get(answer.headers.location!)).body.toString()).toBe('monolithic');
  });

  it.each([
    ['sha256', sha256],
    ['sha512', sha512],
  ])('takes a blob by POST then PUT, by %s', async (_name, digestOf) => {
    const begun = await client.send('POST', '/v2/push/put/blobs/uploads/');
    expect(begun.status).toBe(202);
    expect(begun.headers['docker-upload-uuid']).toMatch(/^[0-9a-f-]{36}$/);
    expect(begun.headers.range).toBe('0-0');
    const digest = digestOf('in a put');
    const done = await client.send('PUT', `${begun.headers.location}?digest=${digest}`, { body: 'in a put' });
    expect([done.status, done.headers.location, done.headers['docker-content-digest']]).toEqual([
      201,
      `/v2/push/put/blobs/${digest}`,
      digest,
    ]);
    expect((await client.get(done.headers.location!)).body.toString()).toBe('in a put');
    expect((await client.get(begun.headers.location!)).code).toBe('BLOB_UPLOAD_UNKNOWN');
  });

  it('takes chunks in order, tells how far it is, and refuses others with 416', async () => {
    const location = await client.begin('push/chunks');
    const patch = (body: string, range: string) =>
      client.send('PATCH', location, { body, headers: { 'Content-Range': range } });
    const early = await patch('56789', '5-9');
    expect([early.status, early.code, early.headers.range]).toEqual([416, 'RANGE_INVALID', '0-0']);
    const first = await patch('01234', '0-4');
    expect([first.status, first.headers.range]).toEqual([202, '0-4']);
    expect(first.headers['docker-upload-uuid']).toBeDefined();
    expect((await patch('01234', '0-4')).status).toBe(416);
    expect((await patch('567', '5-9')).status).toBe(416);
    expect((await patch('567', 'nonsense')).status).toBe(416);
    const status = await client.get(location);
    expect([status.status, status.headers.range, status.headers.location]).toEqual([204, '0-4', location]);
    expect((await client.send('PATCH', location, { body: '567' })).headers.range).toBe('0-7');
    const digest = sha256('0123456789');
    const done = await client.send('PUT', `${location}?digest=${digest}`, {
      body: '89',
      headers: { 'Content-Range': '8-9' },
    });
    expect(done.status).toBe(201);
    expect((await client.get(`/v2/push/chunks/blobs/${digest}`)).body.toString()).toBe('0123456789');
  });

  it('cancels an upload', async () => {
    const location = await client.begin('push/cancel');
    await client.send('PATCH', location, { body: 'x' });
    expect((await client.delete(location)).status).toBe(204);
    for (const method of ['GET', 'PATCH', 'DELETE'])
      expect((await client.send(method, location)).code).toBe('BLOB_UPLOAD_UNKNOWN');
  });

  it('refuses a digest that does not fit, and forgets the upload', async () => {
    const location = await client.begin('push/forged');
    const answer = await client.send('PUT', `${location}?digest=${sha256('good')}`, { body: 'forged' });
    expect([answer.status, answer.code]).toEqual([400, 'DIGEST_INVALID']);
    expect((await client.get(`/v2/push/forged/blobs/${sha256('good')}`)).status).toBe(404);
    expect((await client.get(`/v2/push/forged/blobs/${sha256('forged')}`)).status).toBe(404);
    for (const query of ['', '?digest=', '?digest=sha256:x'])
      expect((await client.send('PUT', (await client.begin('push/forged')) + query, { body: 'x' })).code).toBe(
        'DIGEST_INVALID',
      );
  });

  it('mounts a blob from another repository, with and without its name', async () => {
    const digest = await client.pushBlob('push/source', 'to be mounted');
    const mounted = await client.send('POST', `/v2/push/target/blobs/uploads/?mount=${digest}&from=push/source`);
    expect([mounted.status, mounted.headers.location]).toEqual([201, `/v2/push/target/blobs/${digest}`]);
    expect((await client.get(mounted.headers.location!)).body.toString()).toBe('to be mounted');
    const anywhere = await client.send('POST', `/v2/push/found/blobs/uploads/?mount=${digest}`);
    expect(anywhere.status).toBe(201);
    for (const query of [
      `mount=${sha256('nowhere')}&from=push/source`,
      `mount=${digest}&from=push/without`,
      `mount=${digest}&from=../x`,
    ]) {
      const begun = await client.send('POST', `/v2/push/unmounted/blobs/uploads/?${query}`);
      expect(begun.status).toBe(202);
      expect((await client.delete(begun.headers.location!)).status).toBe(204);
    }
  });

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

  it('takes a manifest without Content-Type that says its type itself', async () => {
    const { text } = await client.pushImage('push/untyped', 'v1');
    expect((await client.send('PUT', '/v2/push/untyped/manifests/v2', { body: text })).status).toBe(201);
  });

  it('refuses tags that are none', async () => {
    const { text } = await client.pushImage('push/tags', 'v1');
    for (const tag of ['-x', '.x', 'x'.repeat(129), 'a b'.replace(' ', '%20')])
      expect((await client.pushManifest('push/tags', tag, text, mediaTypes.ociManifest)).code).toBe('TAG_INVALID');
    expect((await client.pushManifest('push/tags', 'x'.repeat(128), text, mediaTypes.ociManifest)).status).toBe(201);
  });
});

describe('content discovery', () => {
  it('lists tags in order, in pages', async () => {
    for (const tag of ['b', 'a', 'C', '1.0']) await client.pushImage('list/app', tag);
    const list = async (query: string) => await client.get(`/v2/list/app/tags/list${query}`);
    expect((await list('')).json()).toEqual({ name: 'list/app', tags: ['1.0', 'C', 'a', 'b'] });
    const first = await list('?n=2');
    expect(first.json().tags).toEqual(['1.0', 'C']);
    expect(first.headers.link).toBe('</v2/list/app/tags/list?last=C&n=2>; rel="next"');
    const second = await list('?n=2&last=C');
    expect([second.json().tags, second.headers.link]).toEqual([['a', 'b'], undefined]);
    expect((await list('?last=a')).json().tags).toEqual(['b']);
    expect((await list('?last=zzz')).json().tags).toEqual([]);
    expect((await list('?n=0')).json().tags).toEqual([]);
    for (const n of ['-1', 'x', '1.5']) expect((await list(`?n=${n}`)).code).toBe('PAGINATION_NUMBER_INVALID');
    expect((await client.get('/v2/list/none/tags/list')).code).toBe('NAME_UNKNOWN');
  });

  it('lists referrers, filtered where asked, and says of which subject an artifact is', async () => {
    const image = await client.pushImage('refer/app', 'v1');
    const empty = await client.pushBlob('refer/app', '{}');
    const none = await client.get(`/v2/refer/app/referrers/${image.digest}`);
    expect([none.status, none.headers['content-type'], none.json().manifests]).toEqual([200, mediaTypes.ociIndex, []]);
    const subject = { mediaType: mediaTypes.ociManifest, digest: image.digest, size: image.size };
    const artifact = (type: string | undefined, note: string) => ({
      ...imageManifest({ digest: empty, size: 2 }),
      ...(type && { artifactType: type }),
      subject,
      annotations: { note },
    });
    const signature = await client.pushManifest('refer/app', 'sig', artifact('application/sig', 'a'));
    expect([signature.status, signature.headers['oci-subject']]).toEqual([201, image.digest]);
    await client.pushManifest('refer/app', 'sbom', artifact('application/sbom', 'b'));
    await client.pushManifest('refer/app', 'plain', artifact(undefined, 'c'));
    const index = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      artifactType: 'application/index',
      manifests: [],
      subject,
    };
    expect((await client.pushManifest('refer/app', 'index', index)).headers['oci-subject']).toBe(image.digest);
    const all = (await client.get(`/v2/refer/app/referrers/${image.digest}`)).json();
    expect(all.schemaVersion).toBe(2);
    expect(all.manifests.map(({ artifactType }) => artifactType).sort()).toEqual([
      'application/index',
      'application/sbom',
      'application/sig',
      mediaTypes.ociConfig,
    ]);
    const filtered = await client.get(`/v2/refer/app/referrers/${image.digest}?artifactType=application/sig`);
    expect(filtered.headers['oci-filters-applied']).toBe('artifactType');
    const [one, ...more] = filtered.json().manifests;
    expect([one!.digest, one!.annotations, more]).toEqual([
      signature.headers['docker-content-digest'],
      { note: 'a' },
      [],
    ]);
    await client.delete(`/v2/refer/app/manifests/${one!.digest}`);
    expect((await client.get(`/v2/refer/app/referrers/${image.digest}`)).json().manifests).toHaveLength(3);
    expect((await client.get('/v2/refer/app/referrers/latest')).code).toBe('DIGEST_INVALID');
  });

  it('takes an artifact before its subject', async () => {
    const empty = await client.pushBlob('refer/early', '{}');
    const subject = { mediaType: mediaTypes.ociManifest, digest: sha256('later'), size: 5 };
    const pushed = await client.pushManifest('refer/early', 'sig', {
      ...imageManifest({ digest: empty, size: 2 }),
      subject,
    });
    expect([pushed.status, pushed.headers['oci-subject']]).toEqual([201, subject.digest]);
    expect((await client.get(`/v2/refer/early/referrers/${subject.digest}`)).json().manifests).toHaveLength(1);
  });

  it('serves the tag under which clients of older registries keep referrers', async () => {
    const { digest } = await client.pushImage('refer/fallback', 'v1');
    const tag = digest.replace(':', '-');
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] };
    expect((await client.pushManifest('refer/fallback', tag, index)).status).toBe(201);
    expect((await client.get(`/v2/refer/fallback/manifests/${tag}`)).json()).toEqual(index);
  });

  it('lists repositories in pages', async () => {
    await using other = await TestRegistry.start();
    for (const name of ['b', 'a/b', 'a-b']) await other.client.pushBlob(name, 'x');
    expect((await other.client.get('/v2/_catalog')).json()).toEqual({ repositories: ['a-b', 'a/b', 'b'] });
    const page = await other.client.get('/v2/_catalog?n=1&last=a-b');
    expect([page.json().repositories, page.headers.link]).toEqual([
      ['a/b'],
      '</v2/_catalog?last=a%2Fb&n=1>; rel="next"',
    ]);
  });
});

describe('content management', () => {
  it('deletes a tag and leaves the manifest', async () => {
    const { digest } = await client.pushImage('delete/tag', 'v1');
    expect((await client.delete('/v2/delete/tag/manifests/v1')).status).toBe(202);
    expect((await client.get('/v2/delete/tag/manifests/v1')).status).toBe(404);
    expect((await client.get(`/v2/delete/tag/manifests/${digest}`)).status).toBe(200);
    expect((await client.delete('/v2/delete/tag/manifests/v1')).code).toBe('MANIFEST_UNKNOWN');
    expect((await client.get('/v2/delete/tag/tags/list')).json().tags).toEqual([]);
  });

  it('deletes a manifest with all of its tags', async () => {
    const { digest, text } = await client.pushImage('delete/manifest', 'v1');
    await client.pushManifest('delete/manifest', 'v2', text, mediaTypes.ociManifest);
    await client.pushImage('delete/manifest', 'other', 'other layer');
    expect((await client.delete(`/v2/delete/manifest/manifests/${digest}`)).status).toBe(202);
    for (const reference of ['v1', 'v2', digest])
      expect((await client.get(`/v2/delete/manifest/manifests/${reference}`)).status).toBe(404);
    expect((await client.get('/v2/delete/manifest/tags/list')).json().tags).toEqual(['other']);
    expect((await client.delete(`/v2/delete/manifest/manifests/${digest}`)).code).toBe('MANIFEST_UNKNOWN');
  });

  it('deletes a blob from the repository only', async () => {
    const digest = await client.pushBlob('delete/blob', 'shared');
    await client.send('POST', `/v2/delete/keeps/blobs/uploads/?mount=${digest}&from=delete/blob`);
    expect((await client.delete(`/v2/delete/blob/blobs/${digest}`)).status).toBe(202);
    expect((await client.get(`/v2/delete/blob/blobs/${digest}`)).status).toBe(404);
    expect((await client.delete(`/v2/delete/blob/blobs/${digest}`)).code).toBe('BLOB_UNKNOWN');
    expect((await client.get(`/v2/delete/keeps/blobs/${digest}`)).body.toString()).toBe('shared');
  });
});

it.each([
  ['POST', '/v2/', 'GET, HEAD'],
  ['DELETE', '/v2/_catalog', 'GET, HEAD'],
  ['PUT', '/v2/a/tags/list', 'GET, HEAD'],
  ['POST', '/v2/a/manifests/x', 'GET, HEAD, PUT, DELETE'],
  ['PUT', `/v2/a/blobs/${sha256('')}`, 'GET, HEAD, DELETE'],
  ['GET', '/v2/a/blobs/uploads/', 'POST'],
  ['POST', `/v2/a/referrers/${sha256('')}`, 'GET, HEAD'],
])('answers 405 to %s %s', async (method, path, allow) => {
  const answer = await client.send(method, path);
  expect([answer.status, answer.code, answer.headers.allow]).toEqual([405, 'UNSUPPORTED', allow]);
});

it('takes repositories whose parts are words of the API', async () => {
  for (const name of ['tags/list', 'a/blobs/uploads', 'manifests', 'v2/referrers/x']) {
    const image = await client.pushImage(name, 'v1');
    expect((await client.get(`/v2/${name}/manifests/v1`)).body.toString()).toBe(image.text);
    expect((await client.get(`/v2/${name}/tags/list`)).json().name).toBe(name);
  }
});

it('writes whole URLs where it is told to', async () => {
  await using other = await TestRegistry.start({ absoluteLocations: true });
  const { location } = (await other.client.send('POST', '/v2/a/blobs/uploads/')).headers;
  expect(location).toMatch(new RegExp(`^${other.url}/v2/a/blobs/uploads/`));
  await using named = await TestRegistry.start({ absoluteLocations: true, externalUrl: 'https://images.example' });
  expect(await named.client.begin('a')).toMatch(/^https:\/\/images\.example\/v2\/a\/blobs\/uploads\//);
});

it('refuses changes in read-only mode', async () => {
  await using other = await TestRegistry.start({ readOnly: true });
  for (const [method, path] of [
    ['POST', 'blobs/uploads/'],
    ['PUT', 'manifests/x'],
    ['DELETE', 'manifests/x'],
  ] as const)
    expect((await other.client.send(method, `/v2/a/${path}`)).status).toBe(405);
  expect((await other.client.get('/v2/a/manifests/x')).status).toBe(404);
});
