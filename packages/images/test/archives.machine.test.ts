import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { digestOf, hexOf } from '@wherry/oci';
import { describe, expect, it } from 'vitest';
import type { LoadedImage, TarInput } from '../src/index.ts';
import { bytesOf, contentOf, file, fresh, open, stream, tarOf } from './scratch.ts';

const link = (name: string, linkName: string): TarInput => ({ name, type: 'symlink', mode: 0o777, linkName });

const layer = await tarOf([file('hello')]);
const other = await tarOf([file('other')]);
const configOf = (layers: readonly Buffer[], more: object = {}): string =>
  JSON.stringify({
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
    ...more,
  });
const listOf = (...entries: object[]): TarInput => file('manifest.json', JSON.stringify(entries));
const image = (more: object = {}): object => ({ Config: 'c.json', RepoTags: ['a:1'], Layers: ['l.tar'], ...more });
/** An archive of one image with one layer; members given take the place of its own. */
const members = (...own: TarInput[]): TarInput[] => {
  const usual = [file('l.tar', layer), file('c.json', configOf([layer])), listOf(image())];
  return [...usual.filter(({ name }) => !own.some((one) => one.name === name)), ...own];
};

/** How loading fails, with the folder that dockerd would have unpacked into as `DIR`; nothing of it is left. */
async function failure(
  entries: Iterable<TarInput>,
  largestLayer?: { bytes: number; entries: number },
): Promise<unknown> {
  const directory = fresh();
  let error: unknown;
  {
    await using store = await open({ directory, largestLayer });
    error = await store.load(stream(await tarOf(entries))).catch((failed: Error) => failed);
    expect(await store.summaries()).toEqual([]);
  }
  expect(contentOf(directory)).toEqual([]);
  if (!(error instanceof Error)) return error;
  return error.message.replaceAll(/\S*docker-import-\d+/g, 'DIR');
}

describe("an archive's list of images", () => {
  const goValue = (kind: string, type = '[]tarexport.manifestItem') =>
    `json: cannot unmarshal ${kind} into Go value of type ${type}`;
  const goField = (kind: string, field: string, type: string) =>
    `json: cannot unmarshal ${kind} into Go struct field manifestItem.${field} of type ${type}`;
  it.each([
    ['', 'EOF'],
    ['[{"Config":"x"', 'unexpected EOF'],
    ['[{"Config":}]', "invalid character '}' looking for beginning of value"],
    ['null', 'invalid manifest, manifest cannot be null (but can be [])'],
    ['{}', goValue('object')],
    ['true', goValue('bool')],
    ['[1]', goValue('number', 'tarexport.manifestItem')],
    ['[[]]', goValue('array', 'tarexport.manifestItem')],
    ['[{"Config":1}]', goField('number', 'Config', 'string')],
    ['[{"Config":"c.json","Layers":"l"}]', goField('string', 'Layers', '[]string')],
    ['[{"Config":"c.json","Layers":[1]}]', goField('number', 'Layers', 'string')],
    ['[{"Config":"c.json","RepoTags":{}}]', goField('object', 'RepoTags', '[]string')],
    ['[{}]', 'read DIR: is a directory'],
    ['[{"Config":"."}]', 'read DIR: is a directory'],
    ['[{"config":"none"}]', 'open DIR/none: no such file or directory'],
    ['[{"Config":"/etc/hostname"}]', 'open DIR/etc/hostname: no such file or directory'],
    ['[{"Config":"../c.json"}]', /^evalSymlinksInScope: \S+\/tmp\/c\.json is not in DIR$/],
    ['[{"Config":"c.json"}]', 'invalid manifest, layers length mismatch: expected 0, got 1'],
    ['[{"Config":"c.json","Layers":["none"]}]', 'open DIR/none: no such file or directory'],
    ['[{"Config":"c.json","Layers":["../../l.tar"]}]', /^evalSymlinksInScope: /],
    [
      '[{"Config":"c.json","Layers":["l.tar"],"RepoTags":["BAD:1"]}]',
      /repository name \(library\/BAD\) must be lowercase/,
    ],
    ['[{"Config":"c.json","Layers":["l.tar"],"RepoTags":["a"]}]', 'invalid tag "a"'],
    [`[${'['.repeat(50_000)}`, 'exceeded max depth'],
    [`[{"Config":"c.json","Layers":[${'"l.tar",'.repeat(500_000)}"l.tar"]}]`, /expected 500001, got 1$/],
    [
      `[{"Config":"c.json","Layers":[${'"l.tar",'.repeat(1_200_000)}"l.tar"]}]`,
      /^a document of \d+ bytes, more than 8388608$/,
    ],
  ])('%#: is refused for what is wrong', async (text, words) => {
    const found = await failure(members(file('manifest.json', text)));
    if (typeof words === 'string') expect(found).toBe(words);
    else expect(found).toMatch(words);
  });

  it('may be empty, be followed by something, and stand twice: then the last one counts', async () => {
    expect(await failure(members(file('manifest.json', '[] x')))).toEqual([]);
    await using store = await open();
    const archive = await tarOf([file('manifest.json', '1'), ...members()]);
    expect(await store.load(stream(archive))).toMatchObject([{ names: ['docker.io/library/a:1'] }]);
  });
});

describe("an archive's config", () => {
  const own = (more: object): string => configOf([layer], more);
  it.each([
    ['', 'unexpected end of JSON input'],
    ['null', 'invalid image JSON, no RootFS key'],
    ['{"os":"linux"}', 'invalid image JSON, no RootFS key'],
    ['[]', 'json: cannot unmarshal array into Go value of type image.Image'],
    ['{} x', "invalid character 'x' after top-level value"],
    [own({ os: 'windows' }), 'cannot load windows image on linux'],
    [own({ created: 'yesterday' }), /^parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse/],
    [own({ history: 'x' }), 'json: cannot unmarshal string into Go struct field Image.history of type []v1.History'],
    [
      own({ config: { Labels: { a: 1 } } }),
      /^json: cannot unmarshal number into Go struct field Config\.V1Image\.config\.Labels of type string$/,
    ],
    [
      own({ config: { Env: 'A=b' } }),
      /^json: cannot unmarshal string into Go struct field Config\..*Env of type \[\]string$/,
    ],
    [own({ rootfs: { diff_ids: ['none'] } }), 'the image config has the diff id "none"'],
    [own({ config: `${'x'.repeat(9_000_000)}` }), /^a document of 90\d+ bytes, more than 8388608$/],
    [`{"config":${'['.repeat(50_000)}`, 'exceeded max depth'],
    [configOf([other]), `invalid diffID for layer 0: expected "${digestOf(other)}", got "${digestOf(layer)}"`],
  ])('%#: is refused for what is wrong', async (text, words) => {
    const found = await failure(members(file('c.json', text)));
    if (typeof words === 'string') expect(found).toBe(words);
    else expect(found).toMatch(words);
  });

  it('may say a command as one text, and leave out what it will', async () => {
    await using store = await open();
    const config = JSON.stringify({
      config: { Cmd: 'echo hi', Labels: null },
      rootfs: { diff_ids: [digestOf(layer)] },
    });
    await store.load(stream(await tarOf(members(file('c.json', config)))));
    expect((await store.inspect('a:1')).config.config).toEqual({ Cmd: ['echo hi'], Labels: null });
    expect((await store.summaries())[0]).toMatchObject({ createdAt: undefined, labels: {} });
  });
});

describe("an archive's members", () => {
  it('stay within it, whatever their names and links say', async () => {
    await using store = await open();
    const outside = digestOf(readFileSync('/etc/passwd'));
    const kept = [file('../../l.tar', layer), file('/sub/../c.json', configOf([layer])), link('m', '/manifest.json')];
    await store.load(
      stream(
        await tarOf([file('x'), link('manifest.json', '../list'), file('list', JSON.stringify([image()])), ...kept]),
      ),
    );
    expect((await store.find('a:1'))?.layers.map(({ digest }) => digest)).toEqual([digestOf(layer)]);
    const leading = link('l.tar', '/etc/passwd');
    expect(await failure(members(leading))).toBe('open DIR/l.tar: no such file or directory');
    expect(await failure(members(link('l.tar', 'l.tar')))).toBe('open DIR/l.tar: no such file or directory');
    expect((await store.summaries()).flatMap(({ layers }) => layers.map(({ digest }) => digest))).not.toContain(
      outside,
    );
  });

  it('are bounded in number, in the length of their names and in bytes', async () => {
    const many = function* (): Generator<TarInput> {
      for (let n = 0; n < 20_001; n++) yield link(`l${n}`, 'x');
    };
    expect(await failure(many())).toBe('an archive of more than 20000 files');
    expect(await failure(members(file('n'.repeat(5000))))).toBe('a name of more than 4096 bytes in an archive');
    expect(await failure(members(file('big', Buffer.alloc(200_000))), { bytes: 100_000, entries: 10 })).toBe(
      'an archive of more than 100000 bytes',
    );
  });

  it.each([
    ['gzip', gzipSync(layer)],
    ['bzip2', execFileSync('bzip2', ['-c'], { input: layer })],
    ['xz', execFileSync('xz', ['-c'], { input: layer })],
    ['zstd', execFileSync('zstd', ['-c', '-q'], { input: layer })],
  ])('may be layers compressed by %s, and are saved plain', async (name, content) => {
    await using store = await open();
    await store.load(stream(await tarOf(members(file('l.tar', content)))));
    const { lowerDirectories } = await store.rootfs('a:1', 'o');
    expect(readFileSync(join(lowerDirectories[0]!, 'hello'), 'utf8')).toBe('hello');
    const [stored] = (await store.find('a:1'))!.layers;
    // What a registry would not know is kept as it would take it.
    expect(stored!.digest === digestOf(content)).toBe(name === 'gzip' || name === 'zstd');
    expect((await bytesOf(store.save(['a:1']))).includes(layer)).toBe(true);
  });

  it('that are layers which are here need not be in it, and are not taken from it', async () => {
    await using store = await open();
    await store.load(stream(await tarOf(members())));
    const config = configOf([layer], { author: 'x' });
    const without = [file('c.json', config), listOf(image({ RepoTags: ['b:1'], Layers: ['none.tar'] }))];
    await store.load(stream(await tarOf(without)));
    const lying = [file('l.tar', 'no layer'), file('c.json', config), listOf(image({ RepoTags: ['c:1'] }))];
    await store.load(stream(await tarOf(lying)));
    for (const name of ['b:1', 'c:1']) {
      expect((await store.find(name))?.layers.map(({ digest }) => digest)).toEqual([digestOf(layer)]);
    }
  });
});

describe('an archive of several images', () => {
  const parent = configOf([layer], { history: [{ created_by: 'one' }] });
  const child = configOf([layer, other], { history: [{ created_by: 'one' }, { created_by: 'two' }] });
  const both = (second: string, more: object = {}): TarInput[] => [
    file('l.tar', layer),
    file('o.tar', other),
    file('p.json', parent),
    file('c.json', second),
    listOf(
      { Config: 'p.json', RepoTags: ['p:1'], Layers: ['l.tar'] },
      { Config: 'c.json', RepoTags: ['c:1'], Layers: ['l.tar', 'o.tar'], Parent: digestOf(parent), ...more },
    ),
  ];

  it('tells of each as it comes, and of the one that failed', async () => {
    await using store = await open();
    const told: LoadedImage[] = [];
    const archive = await tarOf(both(child, { Config: 'none.json' }));
    const loading = store.load(stream(archive), { onLoaded: (one) => told.push(one) });
    await expect(loading).rejects.toThrow(/none\.json: no such file/);
    expect(told.map(({ names }) => names)).toEqual([['docker.io/library/p:1']]);
    expect((await store.summaries()).map(({ id }) => id)).toEqual([digestOf(parent)]);
  });

  it('gives those of a platform that is asked for, and saves and shows only by it', async () => {
    const arm = configOf([other], { architecture: 'arm', variant: 'v7' });
    const archive = await tarOf([
      ...members(file('arm.json', arm), file('o.tar', other)).filter(({ name }) => name !== 'manifest.json'),
      listOf(image(), { Config: 'arm.json', RepoTags: ['arm:1'], Layers: ['o.tar'] }),
    ]);
    const [amd64, armv7] = [
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm', variant: 'v7' },
    ];
    await using store = await open();
    const loaded = await store.load(stream(archive), { platforms: [armv7] });
    expect(loaded.map(({ names }) => names)).toEqual([['docker.io/library/arm:1']]);
    expect((await store.details('arm:1', armv7)).id).toBe(digestOf(arm));
    const words = 'was found but does not provide the specified platform (linux/amd64)';
    await expect(store.details('arm:1', amd64)).rejects.toMatchObject({
      code: 'notFound',
      message: `image with reference arm:1 ${words}`,
    });
    const save = async (platform: typeof amd64): Promise<void> => {
      for await (const _ of store.save(['arm:1'], { platform }));
    };
    await save(armv7);
    await expect(save(amd64)).rejects.toThrow(words);
    expect(await store.load(stream(archive))).toHaveLength(2);
  });

  it('knows a child of another by its history', async () => {
    await using store = await open();
    await store.load(stream(await tarOf(both(child))));
    expect((await store.details('c:1')).parent).toBe(digestOf(parent));
    const saved = await bytesOf(store.save(['c:1', 'p:1']));
    expect(saved.includes(`"Parent":"${digestOf(parent)}"`)).toBe(true);
    await using again = await open();
    await again.load(stream(saved));
    expect((await again.details('c:1')).parent).toBe(digestOf(parent));
    const stranger = configOf([layer, other], { history: [{ created_by: 'else' }, { created_by: 'two' }] });
    await using third = await open();
    await expect(third.load(stream(await tarOf(both(stranger))))).rejects.toThrow(
      `image ${digestOf(parent)} is not a valid parent for ${digestOf(stranger)}`,
    );
  });
});

describe('an archive from before docker 1.10', () => {
  const [first, second] = ['a'.repeat(64), 'b'.repeat(64)];
  const made = { created: '2015-01-01T00:00:00Z', container_config: { Cmd: ['/bin/sh', '-c', '#(nop) ADD x'] } };
  const old = (id: string, content: Buffer, more: object = {}): TarInput[] => [
    { name: id, type: 'directory', mode: 0o755 },
    file(`${id}/VERSION`, '1.0'),
    file(
      `${id}/json`,
      JSON.stringify({ id, os: 'linux', architecture: 'amd64', config: { Cmd: ['sh'] }, ...made, ...more }),
    ),
    file(`${id}/layer.tar`, content),
  ];
  const repositories = (value: unknown): TarInput =>
    file('repositories', typeof value === 'string' ? value : JSON.stringify(value));

  it('becomes images as they are today', async () => {
    await using store = await open();
    const entries = [
      ...old(second, gzipSync(other), { parent: first, comment: 'second', author: 'me' }),
      ...old(first, layer),
      repositories({ leg: { 1: second, 0: first }, leg2: { latest: second } }),
    ];
    const loaded = await store.load(stream(await tarOf(entries)));
    expect(loaded.map(({ names, isLegacy }) => [names, isLegacy])).toEqual([
      [['docker.io/library/leg:0'], true],
      [['docker.io/library/leg:1', 'docker.io/library/leg2:latest'], true],
    ]);
    const { config, parent, layers } = await store.details('leg:1');
    expect(parent).toBe(loaded[0]!.id);
    expect(config.rootfs.diff_ids).toEqual([layer, other].map(digestOf));
    expect(layers.map(({ digest }) => digest)).toEqual([layer, other].map(digestOf));
    expect(config.history).toEqual([
      { created: made.created, created_by: '/bin/sh -c #(nop) ADD x' },
      { created: made.created, created_by: '/bin/sh -c #(nop) ADD x', comment: 'second', author: 'me' },
    ]);
    expect(Object.keys(config)).toEqual([...Object.keys(config)].sort());
    expect(config).not.toHaveProperty('id');
    const { lowerDirectories } = await store.rootfs('leg2', 'o');
    expect(readFileSync(join(lowerDirectories[0]!, 'other'), 'utf8')).toBe('other');
  });

  it.each([
    ['no repositories', old(first, layer), 'open DIR/repositories: no such file or directory'],
    ['an unknown target', [...old(first, layer), repositories({ l: { 1: 'xx' } })], 'invalid target ID: xx'],
    [
      'repositories that are none',
      [...old(first, layer), repositories([])],
      'json: cannot unmarshal array into Go value of type map[string]map[string]string',
    ],
    ['repositories that are cut', [...old(first, layer), repositories('{')], 'unexpected EOF'],
    [
      'a bad name',
      [...old(first, layer), repositories({ BAD: { 1: first } })],
      'invalid reference format: repository name (library/BAD) must be lowercase',
    ],
    [
      'a parent that is not in it',
      [...old(second, layer, { parent: first }), repositories({})],
      `open DIR/${first}/json: no such file or directory`,
    ],
    [
      'an image that is its own parent',
      [...old(first, layer, { parent: first }), repositories({})],
      `the archive has the image ${first} as its own parent`,
    ],
    [
      'no layer',
      [...old(first, layer).filter(({ name }) => !name.endsWith('.tar')), repositories({ l: { 1: first } })],
      `open DIR/${first}/layer.tar: no such file or directory`,
    ],
    ['nothing at all', [], 'open DIR/repositories: no such file or directory'],
    [
      'only a folder',
      [{ name: 'x', type: 'directory', mode: 0o755 } as const],
      'open DIR/x/json: no such file or directory',
    ],
  ])('with %s is refused', async (_, entries, words) => {
    expect(await failure(entries)).toBe(words);
  });
});

describe('an OCI layout', () => {
  const blob = (content: string | Buffer): TarInput => file(`blobs/sha256/${hexOf(digestOf(content))}`, content);
  const descriptor = (content: string | Buffer, mediaType: string, more: object = {}): object => ({
    mediaType,
    digest: digestOf(content),
    size: content.length,
    ...more,
  });
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const indexType = 'application/vnd.oci.image.index.v1+json';
  const indexOf = (...manifests: object[]): string =>
    JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests });
  const imageOf = (architecture: string): { manifest: string; blobs: TarInput[] } => {
    const config = configOf([layer], { architecture });
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: descriptor(config, 'application/vnd.oci.image.config.v1+json'),
      layers: [descriptor(layer, 'application/vnd.oci.image.layer.v1.tar')],
    });
    return { manifest, blobs: [blob(config), blob(layer), blob(manifest)] };
  };
  const [amd64, arm64] = [imageOf('amd64'), imageOf('arm64')];
  const platform = (architecture: string): object => ({ platform: { os: 'linux', architecture } });
  const inner = indexOf(
    descriptor(amd64.manifest, manifestType, platform('amd64')),
    descriptor(arm64.manifest, manifestType, platform('arm64')),
  );
  const named = { annotations: { 'org.opencontainers.image.ref.name': 'example.com/a:b' } };

  const nested = [inner];
  for (let n = 0; n < 4; n++) nested.push(indexOf(descriptor(nested[n]!, indexType)));

  it('of several platforms gives the one that is asked for', async () => {
    const archive = await tarOf([
      ...amd64.blobs,
      ...arm64.blobs,
      blob(inner),
      file('index.json', indexOf(descriptor(inner, indexType, named))),
    ]);
    for (const architecture of ['amd64', 'arm64']) {
      await using store = await open();
      await store.load(stream(archive), { platforms: [{ os: 'linux', architecture }] });
      expect((await store.inspect('example.com/a:b')).config.architecture).toBe(architecture);
    }
    await using store = await open();
    for (const [architecture, others] of [
      ['amd64', [true, false]],
      ['arm64', [true, true]],
    ] as const) {
      await store.load(stream(archive), { platforms: [{ os: 'linux', architecture }] });
      const { target, manifests } = await store.manifests('example.com/a:b');
      expect(target).toMatchObject(descriptor(inner, indexType));
      expect(manifests.map(({ image }) => image !== undefined)).toEqual(others);
    }
    for (const architecture of ['amd64', 'arm64']) {
      const { config } = await store.details('example.com/a:b', { os: 'linux', architecture });
      expect(config.architecture).toBe(architecture);
    }
    const none = store.load(stream(archive), { platforms: [{ os: 'linux', architecture: 's390x' }] });
    await expect(none).rejects.toMatchObject({
      code: 'notFound',
      message: 'requested platform (linux/s390x) not found: image might be filtered out',
    });
  });

  it('may name a manifest alone, which is for one platform', async () => {
    const archive = await tarOf([
      ...arm64.blobs,
      file('index.json', indexOf(descriptor(arm64.manifest, manifestType))),
    ]);
    await using store = await open();
    await expect(
      store.load(stream(archive), { platforms: [{ os: 'linux', architecture: 'amd64' }] }),
    ).rejects.toMatchObject({ code: 'notFound' });
    const [loaded] = await store.load(stream(archive), { platforms: [{ os: 'linux', architecture: 'arm64' }] });
    expect((await store.inspect(loaded!.id)).config.architecture).toBe('arm64');
  });

  it.each([
    [
      'lacks a blob',
      [...amd64.blobs.slice(1), file('index.json', indexOf(descriptor(amd64.manifest, manifestType)))],
      /^the archive lacks the blob sha256:/,
    ],
    [
      'has a wrong blob',
      [
        ...amd64.blobs.slice(0, 1),
        { ...blob(layer), content: other },
        blob(amd64.manifest),
        file('index.json', indexOf(descriptor(amd64.manifest, manifestType))),
      ],
      /^failed to verify content: got/,
    ],
    [
      'has a wrong manifest',
      [
        ...amd64.blobs,
        { ...blob(amd64.manifest), content: Buffer.from(arm64.manifest) },
        file('index.json', indexOf(descriptor(amd64.manifest, manifestType))),
      ],
      /does not match its digest$/,
    ],
    [
      'has more indexes within each other than anybody needs',
      [...amd64.blobs, ...nested.map(blob), file('index.json', indexOf(descriptor(nested.at(-1)!, indexType)))],
      /^more than 4 image indexes within each other$/,
    ],
    [
      'names a digest that is none',
      [file('index.json', indexOf({ mediaType: manifestType, digest: 'sha256:../../x', size: 1 }))],
      /invalid digest$/,
    ],
    [
      'has a negative size',
      [file('index.json', indexOf({ mediaType: manifestType, digest: digestOf('x'), size: -1 }))],
      /invalid size$/,
    ],
  ] as const)('that %s is refused', async (_, entries, words) => {
    expect(await failure(entries)).toMatch(words);
  });
});
