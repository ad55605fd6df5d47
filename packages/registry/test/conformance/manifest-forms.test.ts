import { type Descriptor, mediaTypes } from '@wherry/oci';
import { expect, it } from 'vitest';
import { onEachStorage } from '../storages.ts';
import { sha256, sha512 } from '../test-client.ts';

// Each form of manifest that the conformance suite of distribution-spec 1.1 knows goes its whole way: pushed by digest and
// by tag, listed, looked at, pulled byte for byte, found by its subject, deleted.

onEachStorage((client) => {
  const name = 'forms/app';
  const empty = 'application/vnd.oci.empty.v1+json';
  const artifactType = 'application/vnd.example.thing';

  interface Pushed {
    readonly text: string;
    readonly descriptor: Descriptor;
  }

  let count = 0;

  /** A blob of its own, pushed. */
  async function blob(mediaType: string, content = `content ${count++}`, digestOf = sha256): Promise<Descriptor> {
    const digest = digestOf(content);
    const pushed = await client.send('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, { body: content });
    expect(pushed.status).toBe(201);
    return { mediaType, digest, size: content.length };
  }

  /** A manifest under its digest. */
  async function push(manifest: object, digestOf = sha256): Promise<Pushed> {
    const text = JSON.stringify(manifest);
    const digest = digestOf(text);
    const answer = await client.pushManifest(name, digest, text, (manifest as { mediaType: string }).mediaType);
    expect([answer.status, answer.headers.location]).toEqual([201, `/v2/${name}/manifests/${digest}`]);
    const subject = (manifest as { subject?: Descriptor }).subject;
    expect(answer.headers['oci-subject']).toBe(subject?.digest);
    return {
      text,
      descriptor: { mediaType: (manifest as { mediaType: string }).mediaType, digest, size: text.length },
    };
  }

  async function image(
    more: object = {},
    layers: readonly string[] = [mediaTypes.ociLayerGzip],
    digestOf = sha256,
  ): Promise<object> {
    const made: Descriptor[] = [];
    for (const type of layers) made.push(await blob(type, undefined, digestOf));
    const config = await blob(mediaTypes.ociConfig, undefined, digestOf);
    return { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: made, ...more };
  }

  async function index(parts: readonly (Descriptor | Promise<Pushed>)[], more: object = {}): Promise<object> {
    const manifests: Descriptor[] = [];
    for (const part of parts) manifests.push(part instanceof Promise ? (await part).descriptor : part);
    return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests, ...more };
  }

  const platforms = async () => [push(await image()), push(await image())];
  const artifact = async (more: object = {}) =>
    await image({ config: await blob(empty, '{}'), artifactType, annotations: { note: 'a' }, ...more }, [artifactType]);
  const absent = { mediaType: mediaTypes.ociManifest, digest: sha256('missing content'), size: 123 };
  const far = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip';

  const forms: Readonly<Record<string, () => Promise<object>>> = {
    'an image': () => image(),
    'an image of plain layers': () => image({}, ['application/vnd.oci.image.layer.v1.tar']),
    'an image without layers': () => image({ layers: [] }),
    'a manifest of nearly 4 MiB': () =>
      image({ annotations: Object.fromEntries(Array.from({ length: 390 }, (_, n) => [`a${n}`, 'A'.repeat(10_000)])) }),
    'an index': async () => await index(await platforms()),
    'an index of indexes': async () => await index([push(await index(await platforms())), push(await index([]))]),
    'an empty index': () => index([]),
    'an artifact': () => artifact(),
    'an artifact without layers': async () => await artifact({ layers: [await blob(empty, '{}')] }),
    'an index of artifacts': async () => await index([push(await artifact())], { artifactType }),
    'an image with embedded data': async () =>
      await image({
        config: { ...(await blob(mediaTypes.ociConfig, '{}')), data: Buffer.from('{}').toString('base64') },
      }),
    'layers that are elsewhere': () =>
      image({ layers: [{ mediaType: far, digest: sha256('far away'), size: 9, urls: ['https://store.example/x'] }] }),
    'fields that nobody knows': async () =>
      await image({ 'org.example': { deep: [1, null] }, config: { ...(await blob(mediaTypes.ociConfig)), odd: true } }),
    'a config and layers of unknown types': async () =>
      await image({ config: await blob('application/x-config') }, ['application/x-one', 'x/y']),
    'an artifact with a subject': async () => await artifact({ subject: (await push(await image())).descriptor }),
    'an image with a subject': async () => await image({ subject: (await push(await image())).descriptor }),
    'an index with a subject': async () =>
      await index([], { artifactType, annotations: { b: 'c' }, subject: (await push(await index([]))).descriptor }),
    'an artifact whose subject is missing': () => artifact({ subject: absent }),
  };

  it.each(Object.keys(forms))('%s', async (form) => {
    const manifest = (await forms[form]!()) as { mediaType: string; subject?: Descriptor; annotations?: object };
    const { text, descriptor } = await push(manifest);
    const tag = form.replaceAll(' ', '-');
    const path = `/v2/${name}/manifests`;
    expect((await client.pushManifest(name, tag, text, manifest.mediaType)).status).toBe(201);
    expect((await client.get(`/v2/${name}/tags/list`)).json().tags).toContain(tag);
    for (const reference of [tag, descriptor.digest]) {
      for (const method of ['HEAD', 'GET']) {
        const answer = await client.send(method, `${path}/${reference}`);
        expect([answer.status, answer.headers['content-type'], answer.headers['content-length']]).toEqual([
          200,
          manifest.mediaType,
          String(text.length),
        ]);
        expect(answer.headers['docker-content-digest']).toBe(descriptor.digest);
        expect(answer.body.toString()).toBe(method === 'GET' ? text : '');
      }
    }
    const { subject } = manifest;
    if (subject) {
      const { manifests } = (await client.get(`/v2/${name}/referrers/${subject.digest}`)).json();
      const config = (manifest as { config?: Descriptor }).config?.mediaType;
      const type = (manifest as { artifactType?: string }).artifactType ?? config;
      const annotations = manifest.annotations && { annotations: manifest.annotations };
      expect(manifests).toContainEqual({ ...descriptor, artifactType: type, ...annotations });
    }
    expect((await client.delete(`${path}/${tag}`)).status).toBe(202);
    expect((await client.head(`${path}/${tag}`)).status).toBe(404);
    expect((await client.delete(`${path}/${descriptor.digest}`)).status).toBe(202);
    expect((await client.head(`${path}/${descriptor.digest}`)).status).toBe(404);
    if (subject) {
      const { manifests } = (await client.get(`/v2/${name}/referrers/${subject.digest}`)).json();
      expect(manifests).not.toContainEqual(expect.objectContaining({ digest: descriptor.digest }));
    }
  });

  it('an image whose digests are all of sha512, among those of sha256', async () => {
    const manifest = await image({}, [mediaTypes.ociLayerGzip], sha512);
    const { text, descriptor } = await push(manifest, sha512);
    expect((await client.get(`/v2/${name}/manifests/${descriptor.digest}`)).body.toString()).toBe(text);
    const listed = await push(await index([descriptor]));
    expect((await client.get(`/v2/${name}/manifests/${listed.descriptor.digest}`)).status).toBe(200);
    const referrer = await push(await artifact({ subject: descriptor }));
    const { manifests } = (await client.get(`/v2/${name}/referrers/${descriptor.digest}`)).json();
    expect(manifests.map(({ digest }) => digest)).toEqual([referrer.descriptor.digest]);
  });

  it('nothing of a repository that was never pushed to', async () => {
    expect((await client.get('/v2/forms/never/tags/list')).status).toBe(404);
    const { status, headers, body } = await client.get(`/v2/forms/never/referrers/${sha256('x')}`);
    expect([status, headers['content-type']]).toEqual([200, mediaTypes.ociIndex]);
    expect(JSON.parse(body.toString())).toEqual({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
  });
});
