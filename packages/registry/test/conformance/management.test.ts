import { mediaTypes } from '@wherry/oci';
import { expect, it } from 'vitest';
import { onEachStorage } from '../storages.ts';

// What distribution-spec 1.1 requires of content management.

onEachStorage((client) => {
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
