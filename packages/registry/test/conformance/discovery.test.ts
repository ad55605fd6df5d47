import { mediaTypes } from '@wherry/oci';
import { expect, it } from 'vitest';
import { onEachStorage } from '../storages.ts';
import { imageManifest, sha256, TestRegistry } from '../test-client.ts';

// What distribution-spec 1.1 requires of content discovery.

onEachStorage((client) => {
  it('lists tags in order, in pages', async () => {
    for (const tag of ['b', 'a', 'C', '1.0']) await client.pushImage('list/app', tag);
    const list = async (query: string) => await client.get(`/v2/list/app/tags/list${query}`);
    expect((await list('')).json()).toEqual({ name: 'list/app', tags: ['1.0', 'a', 'b', 'C'] });
    const first = await list('?n=2');
    expect(first.json().tags).toEqual(['1.0', 'a']);
    expect(first.headers.link).toBe('</v2/list/app/tags/list?last=a&n=2>; rel="next"');
    const second = await list('?n=2&last=a');
    expect([second.json().tags, second.headers.link]).toEqual([['b', 'C'], undefined]);
    expect((await list('?last=B')).json().tags).toEqual(['b', 'C']);
    expect((await list('?last=b')).json().tags).toEqual(['C']);
    expect((await list('?last=zzz')).json().tags).toEqual([]);
    expect((await list('?n=0')).json().tags).toEqual([]);
    expect((await list(`?n=${'9'.repeat(20)}`)).json().tags).toHaveLength(4);
    for (const n of ['-1', 'x', '1.5', '']) expect((await list(`?n=${n}`)).code).toBe('UNSUPPORTED');
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

  it('lists more referrers than an index holds in pages, in order, each once', async () => {
    const empty = await client.pushBlob('refer/many', '{}');
    const subject = { mediaType: mediaTypes.ociManifest, digest: sha256('a subject of many'), size: 5 };
    const pushed: string[] = [];
    for (let count = 0; count < 5; count++) {
      const annotations = { count: `${count}`, note: 'x'.repeat(1_900_000) };
      const artifactType = count === 4 ? 'application/other' : 'application/many';
      const manifest = { ...imageManifest({ digest: empty, size: 2 }), artifactType, subject, annotations };
      const answer = await client.pushManifest('refer/many', `tag${count}`, manifest);
      expect(answer.status).toBe(201);
      if (count < 4) pushed.push(answer.headers['docker-content-digest'] as string);
    }
    const found: string[][] = [];
    let next: string | undefined = `/v2/refer/many/referrers/${subject.digest}?artifactType=application/many`;
    while (next !== undefined) {
      const page = await client.get(next);
      expect([page.status, page.headers['oci-filters-applied']]).toEqual([200, 'artifactType']);
      expect(page.body.length).toBeLessThanOrEqual(4 * 1024 * 1024);
      found.push(page.json().manifests.map(({ digest }) => digest));
      next = /^<(.*)>; rel="next"$/.exec((page.headers.link as string | undefined) ?? '')?.[1];
    }
    expect(found.map(({ length }) => length)).toEqual([2, 2]);
    expect(found.flat()).toEqual(pushed.sort());
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
