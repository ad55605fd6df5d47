import { mediaTypes } from '@wherry/oci';
import { expect, it } from 'vitest';
import { onEachStorage } from '../storages.ts';
import { sha256 } from '../test-client.ts';

// What distribution-spec 1.1 requires of pulling.

onEachStorage((client) => {
  it('answers 200 at /v2/ with the version header', async () => {
    for (const path of ['/v2/', '/v2']) {
      const answer = await client.get(path);
      expect(answer.status).toBe(200);
      expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0');
    }
  });

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
      'SIZE_INVALID',
    ]);
    for (const range of ['bytes=5-2', 'bytes=10-20', 'bytes=-0'])
      expect((await client.get(path, { Range: range })).status).toBe(416);
    for (const range of ['lines=1-2', 'bytes=0-1,3-4', 'bytes=-'])
      expect((await client.get(path, { Range: range })).status).toBe(200);
    expect((await client.get(path, { Range: 'bytes=2-4', 'If-Range': '"other"' })).status).toBe(200);
  });

  it('answers 304 to who has it already', async () => {
    const image = await client.pushImage('pull/app', 'etag');
    for (const path of [`manifests/etag`, `blobs/${image.layer}`]) {
      const { etag } = (await client.get(`/v2/pull/app/${path}`)).headers;
      for (const header of [etag!, `W/${etag}`, `"x", ${etag}`, '*']) {
        for (const method of ['GET', 'HEAD']) {
          const answer = await client.send(method, `/v2/pull/app/${path}`, { headers: { 'If-None-Match': header } });
          expect([answer.status, answer.body.length]).toEqual([304, 0]);
        }
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
    [`/v2/pull/app/blobs/sha384:${'0'.repeat(96)}`, 400, 'DIGEST_INVALID'],
    [`/v2/pull/app/blobs/${sha256('nothing').toUpperCase()}`, 400, 'DIGEST_INVALID'],
    [`/v2/pull/app/manifests/sha256:${'A'.repeat(64)}`, 400, 'DIGEST_INVALID'],
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

  it('takes a path that is written in another way for the same', async () => {
    const { layer, digest } = await client.pushImage('pull/app', 'v2', 'written otherwise');
    for (const path of [`pull%2Fapp/blobs/${layer}`, `pull/app/blobs/${layer.replace(':', '%3A')}`])
      expect((await client.get(`/v2/${path}`)).body.toString()).toBe('written otherwise');
    expect((await client.head('/v2/pull/app/%6danifests/%762')).headers['docker-content-digest']).toBe(digest);
    expect((await client.get('/v2/pull/app/manifests/%2576%32')).status).toBe(404);
  });

  it('keeps the blobs of one repository from others', async () => {
    const digest = await client.pushBlob('pull/private', 'only here');
    expect((await client.get(`/v2/pull/other/blobs/${digest}`)).code).toBe('BLOB_UNKNOWN');
  });
});
