import { describe, expect, it } from 'vitest';
import { onEachStorage } from '../storages.ts';
import { type Answer, sha256, sha512 } from '../test-client.ts';

// What distribution-spec 1.1 requires of pushing blobs.

onEachStorage((client) => {
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
    expect([early.status, early.code, early.headers.range]).toEqual([416, 'BLOB_UPLOAD_INVALID', '0-0']);
    const first = await patch('01234', '0-4');
    expect([first.status, first.headers.range]).toEqual([202, '0-4']);
    expect(first.headers['docker-upload-uuid']).toBeDefined();
    expect((await patch('01234', '0-4')).status).toBe(416);
    const unlike = await patch('567', '5-9');
    expect([unlike.status, unlike.code, unlike.headers.range]).toEqual([400, 'SIZE_INVALID', '0-4']);
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

  it('refuses a chunk whose length, not said beforehand, is not that of its range', async () => {
    const location = await client.begin('push/misfit');
    const stream = (body: string, range: string, method = 'PATCH', query = '') =>
      client.send(method, location + query, {
        body,
        headers: { 'Transfer-Encoding': 'chunked', 'Content-Range': range },
      });
    expect((await stream('0123', '0-3')).headers.range).toBe('0-3');
    const long = await stream('4XXX', '4-4');
    expect([long.status, long.code, long.headers.range, long.headers.location]).toEqual([
      400,
      'SIZE_INVALID',
      '0-3',
      location,
    ]);
    const short = await stream('45', '4-7');
    expect([short.status, short.code]).toEqual([400, 'SIZE_INVALID']);
    // What came is there, and the client may go on after it.
    expect((await client.get(location)).headers.range).toBe('0-5');
    const query = `?digest=${sha256('0123456789')}`;
    expect((await stream('6789X', '6-9', 'PUT', query)).code).toBe('SIZE_INVALID');
    expect((await stream('6789', '6-9', 'PUT', query)).status).toBe(201);
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
      'mount=sha256:short&from=push/source',
      'mount=',
    ]) {
      const begun = await client.send('POST', `/v2/push/unmounted/blobs/uploads/?${query}`);
      expect(begun.status).toBe(202);
      expect((await client.delete(begun.headers.location!)).status).toBe(204);
    }
  });

  describe.each([
    ['sha256', sha256],
    ['sha512', sha512],
  ])('by every way, with %s', (_name, digestOf) => {
    const contents = {
      'of nothing': '',
      'of an empty object': '{}',
      'of some chunks': 'x'.repeat(2000) + 'y'.repeat(1067),
    };

    /** Sends chunks, each after one that is out of order. */
    async function chunked(location: string, content: string, digest: string, putLast: boolean): Promise<Answer> {
      const size = Math.max(Math.ceil(content.length / 3), 1);
      for (let start = 0; start < content.length; start += size) {
        const chunk = content.slice(start, start + size);
        const range = (from: number): Record<string, string> => ({
          'Content-Range': `${from}-${from + chunk.length - 1}`,
        });
        const wrong = await client.send('PATCH', location, { body: chunk, headers: range(start + 1) });
        expect([wrong.status, wrong.headers.location]).toEqual([416, location]);
        const status = await client.get(location);
        expect([status.status, status.headers.range]).toEqual([204, `0-${Math.max(start - 1, 0)}`]);
        const isLast = start + size >= content.length;
        if (putLast && isLast)
          return await client.send('PUT', `${location}?digest=${digest}`, { body: chunk, headers: range(start) });
        expect((await client.send('PATCH', location, { body: chunk, headers: range(start) })).status).toBe(202);
      }
      return await client.send('PUT', `${location}?digest=${digest}`);
    }

    const ways: Readonly<Record<string, (name: string, content: string, digest: string) => Promise<Answer>>> = {
      'in one POST': (name, body, digest) =>
        client.send('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, { body }),
      'by POST and PUT': async (name, body, digest) =>
        await client.send('PUT', `${await client.begin(name)}?digest=${digest}`, { body }),
      'as a stream': async (name, body, digest) => {
        const location = await client.begin(name);
        const headers = { 'Transfer-Encoding': 'chunked' };
        expect((await client.send('PATCH', location, { body, headers })).status).toBe(202);
        return await client.send('PUT', `${location}?digest=${digest}`);
      },
      'in chunks': async (name, content, digest) => await chunked(await client.begin(name), content, digest, false),
      'in chunks, the last by PUT': async (name, content, digest) =>
        await chunked(await client.begin(name), content, digest, true),
    };

    it.each(Object.keys(ways))('%s', async (way) => {
      const name = `push/ways-${digestOf('').slice(0, 6)}-${Object.keys(ways).indexOf(way)}`;
      for (const content of Object.values(contents)) {
        const digest = digestOf(content);
        const done = await ways[way]!(name, content, digest);
        expect([done.status, done.headers['docker-content-digest']]).toEqual([201, digest]);
        const found = await client.get(done.headers.location!);
        expect([found.status, found.body.toString(), found.headers['content-length']]).toEqual([
          200,
          content,
          String(content.length),
        ]);
        expect((await client.head(`/v2/${name}/blobs/${digest}`)).headers['content-length']).toBe(
          String(content.length),
        );
        expect((await client.delete(`/v2/${name}/blobs/${digest}`)).status).toBe(202);
        const forged = await ways[way]!(name, `${content}oh no`, digest);
        expect([forged.status, forged.code]).toEqual([400, 'DIGEST_INVALID']);
        expect((await client.head(`/v2/${name}/blobs/${digest}`)).status).toBe(404);
      }
    });
  });
});
