import { WherryError } from '@wherry/base';
import { describe, expect, it } from 'vitest';
import type { EngineImages } from '../src/index.ts';
import { fakeContainers, fakeImage, fakeImages, fakeOptions } from './fake-parts.ts';
import { serve } from './serving.ts';

describe('manifests of a name', () => {
  const of = (letter: string): `sha256:${string}` => `sha256:${letter.repeat(64)}`;
  const descriptor = (letter: string, more = {}) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: of(letter),
    size: 7,
    ...more,
  });
  const [amd64, arm64] = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));
  const one = fakeImage('a', { names: ['docker.io/library/a:1'] });
  const other = fakeImage('b');
  const given: Partial<EngineImages> = {
    details: async (name, platform) => {
      if (platform?.architecture === 's390x') throw new WherryError('notFound', 'not for s390x');
      return name === other.id || platform?.architecture === 'arm64' ? other : one;
    },
    manifests: async (name) => ({
      target: { mediaType: 'application/vnd.oci.image.index.v1+json', digest: of('1'), size: 9 },
      manifests:
        name === 'a:1'
          ? [
              {
                descriptor: descriptor('2', { platform: amd64 }),
                kind: 'image',
                platform: amd64,
                contentBytes: 30,
                image: { id: one.id, unpackedBytes: 70 },
              },
              { descriptor: descriptor('3'), kind: 'image', platform: arm64, contentBytes: 0 },
              { descriptor: descriptor('4'), kind: 'attestation', contentBytes: 0, attests: of('2') },
              { descriptor: descriptor('5'), kind: 'unknown', contentBytes: 0 },
            ]
          : [],
    }),
  };
  const images = fakeImages([one], given);
  const containers = fakeContainers({ list: async () => [{ Id: 'web', ImageID: one.id }] });
  const expected = [
    {
      ID: of('2'),
      Descriptor: descriptor('2', { platform: amd64 }),
      Available: true,
      Size: { Content: 30, Total: 100 },
      Kind: 'image',
      ImageData: { Platform: amd64, Containers: ['web'], Size: { Unpacked: 70 } },
    },
    {
      ID: of('3'),
      Descriptor: descriptor('3'),
      Available: false,
      Size: { Content: 0, Total: 0 },
      Kind: 'image',
      ImageData: { Platform: arm64, Containers: [], Size: { Unpacked: 0 } },
    },
    { ID: of('4'), Kind: 'attestation', AttestationData: { For: of('2') } },
    { ID: of('5'), Kind: 'unknown' },
  ];

  it('are told since the versions that know them, when they are asked for', async () => {
    await using api = await serve(fakeOptions({ images, containers }));
    const get = async (path: string) => JSON.parse((await api.call('GET', path)).text);
    expect((await get('/v1.47/images/json?manifests=1'))[0].Manifests).toMatchObject(expected);
    expect((await get('/v1.46/images/json?manifests=1'))[0].Manifests).toBeUndefined();
    expect((await get('/images/json'))[0].Manifests).toBeUndefined();
    const inspected = await get('/v1.48/images/a:1/json?manifests=true');
    expect(inspected.Manifests).toMatchObject(expected);
    expect(inspected.Descriptor).toMatchObject({ digest: of('1') });
    expect((await get('/v1.47/images/a:1/json?manifests=1')).Manifests).toBeUndefined();
    expect((await get('/images/a:1/json')).Descriptor).toBeUndefined();
    const platform = encodeURIComponent(JSON.stringify(arm64));
    const refused = await api.call('GET', `/images/a:1/json?manifests=1&platform=${platform}`);
    expect([refused.status, refused.text]).toEqual([
      400,
      '{"message":"conflicting options: manifests and platform options cannot both be set"}\n',
    ]);
  });

  it('are not dangling, and listed among all', async () => {
    const behind = fakeImage('b', { names: [], isBehindName: true });
    const dangling = fakeImage('c', { names: [] });
    await using api = await serve(fakeOptions({ images: fakeImages([one, behind, dangling]) }));
    const listed = async (query: string): Promise<readonly string[]> => {
      const images = JSON.parse((await api.call('GET', `/images/json?${query}`)).text) as { Id: string }[];
      return images.map(({ Id }) => Id);
    };
    const filters = (value: string): string => `filters=${encodeURIComponent(`{"dangling":["${value}"]}`)}`;
    expect(await listed('')).toEqual([one.id, dangling.id]);
    expect(await listed('all=1')).toEqual([one.id, behind.id, dangling.id]);
    expect(await listed(filters('true'))).toEqual([dangling.id]);
    expect(await listed(`all=1&${filters('true')}`)).toEqual([dangling.id]);
    expect(await listed(`all=1&${filters('false')}`)).toEqual([one.id, behind.id]);
  });

  it('choose the image that is removed since 1.50', async () => {
    const asked: string[] = [];
    const remove: EngineImages['remove'] = async (name) => {
      asked.push(name);
      return [{ deleted: of('9') }];
    };
    await using api = await serve(fakeOptions({ images: fakeImages([one], { ...given, remove }) }));
    const of50 = (...architectures: readonly string[]): string =>
      architectures
        .map((architecture) => `platforms=${encodeURIComponent(JSON.stringify({ os: 'linux', architecture }))}`)
        .join('&');
    const both = await api.call('DELETE', `/v1.50/images/a:1?${of50('arm64', 'amd64', 'arm64')}`);
    expect([both.status, JSON.parse(both.text), asked.splice(0)]).toEqual([
      200,
      [{ Deleted: of('9') }, { Deleted: of('9') }],
      [other.id, 'a:1'],
    ]);
    expect((await api.call('DELETE', `/v1.50/images/a:1?${of50('arm64', 's390x')}`)).status).toBe(404);
    expect(asked).toEqual([]);
    await api.call('DELETE', `/v1.49/images/a:1?${of50('s390x')}`);
    expect(asked).toEqual(['a:1']);
  });
});
