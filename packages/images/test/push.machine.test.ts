import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@wherry/base';
import { hash } from 'bcryptjs';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type ImageStore,
  openImageStore,
  type PushProgress,
  type RegistrySettings,
  type TarInput,
} from '../src/index.ts';
import { RealRegistry } from './real-registry.ts';

const root = mkdtempSync(join(tmpdir(), 'wherry-push-'));
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;
const fresh = (): string => join(root, `${count++}`);
const open = (registries?: RegistrySettings): Promise<ImageStore> =>
  openImageStore({ directory: fresh(), log: silentLogger, registries });

const file = (name: string, content: Buffer): TarInput => ({ name, type: 'file', mode: 0o644, content });
const nobody = { inUse: () => undefined };

async function make(store: ImageStore, references: readonly string[], compression?: 'gzip'): Promise<string> {
  const layers = [{ entries: [file('a', randomBytes(300_000))] }, { entries: [file('b', Buffer.alloc(200_000, 'b'))] }];
  return (await store.createImage({ config: {}, layers, references, compression })).id;
}

describe('pushing to docker-registry', () => {
  it('sends layers once, remembers their compressed form, and pulls the same image back', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    await using store = await open();
    const name = `${registry.host}/team/app`;
    const id = await make(store, [`${name}:1`]);
    const phases: string[] = [];
    const onProgress = ({ phase }: PushProgress) => phases.push(phase);
    const [first] = await store.push(`${name}:1`, { onProgress });
    expect(phases.filter((phase) => phase !== 'pushing')).toEqual(['preparing', 'preparing', 'pushed', 'pushed']);
    expect((await store.summaries())[0]!.digests).toEqual([`${name}@${first!.digest}`]);

    phases.length = 0;
    expect(await store.push(`${name}:1`, { onProgress })).toEqual([first]);
    expect(phases).toEqual(['preparing', 'preparing', 'exists', 'exists']);

    // Another repository of the registry takes them over.
    phases.length = 0;
    await store.tag(`${name}:1`, `${registry.host}/other/app:1`);
    expect(await store.push(`${registry.host}/other/app:1`, { onProgress })).toEqual([first]);
    expect(phases.filter((phase) => phase !== 'pushing')).toEqual(['preparing', 'preparing', 'mounted', 'mounted']);

    await store.tag(`${name}:1`, `${name}:2`);
    expect((await store.push(name, { allTags: true })).map(({ tag }) => tag)).toEqual(['1', '2']);
    expect([...(await store.remoteTags(name))].sort()).toEqual(['1', '2']);

    // Pulling what is here brings nothing, even after its names went.
    expect(await store.pull(`${name}:1`)).toEqual({ id, digest: first!.digest, isNew: false });
    const removed = [...(await store.remove(`${name}:1`, nobody)), ...(await store.remove(`${name}:2`, nobody))];
    expect(removed).toEqual([
      { untagged: `${name}:1` },
      { untagged: `${name}:2` },
      { untagged: `${name}@${first!.digest}` },
    ]);
    const seen: string[] = [];
    expect(await store.pull(`${name}:1`, { onProgress: ({ phase }) => seen.push(phase) })).toMatchObject({
      isNew: true,
    });
    expect(seen).toEqual([]);

    await using other = await open();
    expect(await other.pull(`${name}@${first!.digest}`)).toEqual({ id, digest: first!.digest, isNew: true });
    const [summary] = await other.summaries();
    expect([summary!.names, summary!.digests]).toEqual([[], [`${name}@${first!.digest}`]]);
    const { lowerDirectories } = await other.rootfs(id, 'o');
    expect(readFileSync(join(lowerDirectories[0]!, 'b'), 'latin1')).toBe('b'.repeat(200_000));
    // What came compressed is sent on as it is.
    await other.tag(id, `${registry.host}/third/app:1`);
    expect(await other.push(`${registry.host}/third/app:1`, {})).toEqual([first]);
  });

  it("says what is wrong in dockerd's words", async () => {
    await using registry = await RealRegistry.start({ directory: fresh(), users: `bob:${await hash('secret', 4)}\n` });
    await using store = await open();
    const name = `${registry.host}/p/bb`;
    await make(store, [`${name}:latest`, '127.0.0.1:1/x:1']);
    await expect(store.push(`${name}:latest`, {})).rejects.toThrow(/^no basic auth credentials$/);
    await expect(store.pull(name)).rejects.toThrow(
      `Head "http://${name.replace('/', '/v2/')}/manifests/latest": no basic auth credentials`,
    );
    const auth = { username: 'bob', password: 'secret' };
    await store.push(`${name}:latest`, { auth });
    await expect(store.pull(`${name}:nosuch`, { auth })).rejects.toMatchObject({
      code: 'notFound',
      message: `manifest for ${name}:nosuch not found: manifest unknown: manifest unknown`,
    });
    await expect(store.push(`${registry.host}/p/nosuch`, { auth })).rejects.toThrow(
      `An image does not exist locally with the tag: ${registry.host}/p/nosuch`,
    );
    await expect(store.push('127.0.0.1:1/x:1', {})).rejects.toThrow(
      /^Get "http:\/\/127.0.0.1:1\/v2\/": dial tcp 127.0.0.1:1: connect: connection refused$/,
    );
    await expect(store.pull('127.0.0.1:1/x:1')).rejects.toThrow(
      /^Get "http:\/\/127.0.0.1:1\/v2\/": dial tcp 127.0.0.1:1: connect: connection refused$/,
    );
    expect(await store.login(registry.host, auth)).toEqual({ status: 'Login Succeeded', identityToken: '' });
    await expect(store.login(registry.host, { ...auth, password: 'wrong' })).rejects.toMatchObject({
      code: 'internal',
      message: `login attempt to http://${registry.host}/v2/ failed with status: 401 Unauthorized`,
    });
    await expect(store.login('127.0.0.1:1', auth)).rejects.toThrow(
      /^Get "http:\/\/127.0.0.1:1\/v2\/": dial tcp 127.0.0.1:1: connect: connection refused$/,
    );
    await expect(store.search('127.0.0.1:1/foo', {})).rejects.toThrow(
      /^invalid registry endpoint "http:\/\/127.0.0.1:1\/v1\/". HTTPS attempt: Get "https:\/\/127.0.0.1:1\/v1\/_ping": dial tcp 127.0.0.1:1: connect: connection refused. HTTP attempt: Get "http:\/\/127.0.0.1:1\/v1\/_ping": dial tcp 127.0.0.1:1: connect: connection refused$/,
    );
  });

  it('speaks TLS with an authority that was given, and only then trusts it', async () => {
    const directory = fresh();
    mkdirSync(directory, { recursive: true });
    const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
    const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    const subject = [
      '-subj',
      '/CN=test',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-keyout',
      key,
      '-out',
      certificate,
    ];
    execFileSync('openssl', [...args, ...subject], { stdio: 'ignore' });
    await using registry = await RealRegistry.start({ directory: join(directory, 'r'), tls: { certificate, key } });
    const certificates = join(directory, 'certs.d');
    mkdirSync(join(certificates, registry.host), { recursive: true });
    const name = `${registry.host}/tls/app:1`;
    // This machine's own registry needs no proof, unless an authority was given for it.
    await using store = await open({ certificates: join(directory, 'none') });
    const id = await make(store, [name]);
    await store.push(name, {});
    execFileSync('cp', [certificate, join(certificates, registry.host, 'ca.crt')]);
    await using trusting = await open({ certificates });
    expect((await trusting.pull(name)).id).toBe(id);
    execFileSync(
      'openssl',
      [...args, '-subj', '/CN=other', '-keyout', key, '-out', join(certificates, registry.host, 'ca.crt')],
      { stdio: 'ignore' },
    );
    await using wary = await open({ certificates });
    await expect(wary.pull(name)).rejects.toThrow('certificate signed by unknown authority');
  });

  it('takes images from a mirror where it has them', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    await using store = await open();
    const id = await make(store, [`${registry.host}/library/mirrored:1`]);
    await store.push(`${registry.host}/library/mirrored:1`, {});
    await using other = await open({ mirrors: { 'docker.io': ['http://127.0.0.1:1', `http://${registry.host}`] } });
    expect((await other.pull('mirrored:1')).id).toBe(id);
    expect((await other.summaries())[0]!.names).toEqual(['docker.io/library/mirrored:1']);
  });
});
