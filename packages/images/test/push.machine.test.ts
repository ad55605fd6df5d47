import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { hash } from 'bcryptjs';
import { describe, expect, it } from 'vitest';
import type { ImageStore, PushProgress } from '../src/index.ts';
import { FaultyProxy } from './faulty-proxy.ts';
import { RealRegistry, realRegistry } from './real-registry.ts';
import { bytesOf, file, fresh, hastyClock, nobody, open } from './scratch.ts';

async function make(store: ImageStore, references: readonly string[], compression?: 'gzip'): Promise<string> {
  const layers = [{ entries: [file('a', randomBytes(300_000))] }, { entries: [file('b', Buffer.alloc(200_000, 'b'))] }];
  return (await store.createImage({ config: {}, layers, references, compression })).id;
}

describe.skipIf(realRegistry === undefined)('pushing to docker-registry', () => {
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
    const wrong = { auth: { ...auth, password: 'wrong' } };
    await expect(store.pull(`${name}:latest`, wrong)).rejects.toThrow(/^unauthorized: authentication required$/);
    await expect(store.push(`${name}:latest`, wrong)).rejects.toThrow(/^unauthorized: authentication required$/);
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
    await using store = await open({ registries: { certificates: join(directory, 'none') } });
    const id = await make(store, [name]);
    await store.push(name, {});
    execFileSync('cp', [certificate, join(certificates, registry.host, 'ca.crt')]);
    await using trusting = await open({ registries: { certificates } });
    expect((await trusting.pull(name)).id).toBe(id);
    execFileSync(
      'openssl',
      [...args, '-subj', '/CN=other', '-keyout', key, '-out', join(certificates, registry.host, 'ca.crt')],
      { stdio: 'ignore' },
    );
    await using wary = await open({ registries: { certificates } });
    await expect(wary.pull(name)).rejects.toThrow('certificate signed by unknown authority');
  });

  it('shows the certificate that it was given where a registry asks for one', async () => {
    const certificates = fresh();
    mkdirSync(certificates, { recursive: true });
    const at = (name: string): string => join(certificates, name);
    for (const name of ['server', 'client']) {
      const made = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', at(`${name}.key`)];
      const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
      execFileSync('openssl', [...args, ...made, '-out', at(`${name}.crt`)], { stdio: 'ignore' });
    }
    const seen: unknown[] = [];
    const server = createServer(
      {
        key: readFileSync(at('server.key')),
        cert: readFileSync(at('server.crt')),
        ca: readFileSync(at('client.crt')),
        requestCert: true,
      },
      (request, response) => {
        seen.push((request.socket as TLSSocket).getPeerCertificate().subject.CN);
        response.end('{}');
      },
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      const folder = join(certificates, host);
      mkdirSync(folder);
      execFileSync('cp', [at('server.crt'), join(folder, 'ca.crt')]);
      await using store = await open({ registries: { certificates } });
      const auth = { username: 'bob', password: 'secret' };
      await expect(store.login(host, auth)).rejects.toThrow('remote error: tls: certificate required');
      execFileSync('cp', [at('client.crt'), join(folder, 'client.cert')]);
      execFileSync('cp', [at('client.key'), join(folder, 'client.key')]);
      expect((await store.login(host, auth)).status).toBe('Login Succeeded');
      expect(seen).toEqual(['client']);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('takes images from a mirror where it has them', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    await using store = await open();
    const id = await make(store, [`${registry.host}/library/mirrored:1`]);
    await store.push(`${registry.host}/library/mirrored:1`, {});
    await using other = await open({
      registries: { mirrors: { 'docker.io': ['http://127.0.0.1:1', `http://${registry.host}`] } },
    });
    expect((await other.pull('mirrored:1')).id).toBe(id);
    expect((await other.summaries())[0]!.names).toEqual(['docker.io/library/mirrored:1']);
  });
});

describe.skipIf(realRegistry === undefined)('beside docker', () => {
  it('has one event for all tags, in both ways, and one for a tag and the digests that go with it', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    await using store = await open();
    const name = `${registry.host}/all`;
    const layers = [{ entries: [file('a')] }];
    await store.createImage({
      config: { config: { Labels: { l: 'm' } } },
      layers,
      references: [`${name}:1`, `${name}:2`],
    });
    const events: string[] = [];
    using _ = store.onEvent(({ action, id, attributes }) => {
      events.push(`${action} ${id.startsWith('sha256:') ? 'ID' : id}${attributes?.l ? ` l=${attributes.l}` : ''}`);
    });
    const tags: string[] = [];
    await store.push(name, { allTags: true, onPushed: ({ tag }) => void tags.push(tag) });
    await store.push(`${name}:1`, {});
    expect(tags).toEqual(['1', '2']);
    await store.pull(`${name}:1`, { eventOf: 'nothing' });
    await store.pull(`${name}:2`, { eventOf: 'repository' });
    // A repository's labels are those of its `latest`, which is not there.
    expect(events).toEqual([`push ${name}`, `push ${name}:1 l=m`, `pull ${name}`]);
    events.length = 0;
    await store.remove(`${name}:1`, nobody);
    await store.remove(`${name}:2`, nobody);
    expect(events).toEqual(['untag ID l=m', 'untag ID l=m', 'delete ID']);
  });

  it('asks the registry before it looks for the tag, not for the repository', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    await using store = await open();
    await make(store, [`${registry.host}/here:1`, '127.0.0.1:1/here:1']);
    await expect(store.push('127.0.0.1:1/here:2', {})).rejects.toThrow(/connection refused$/);
    await expect(store.push('127.0.0.1:1/none:2', {})).rejects.toThrow(/^An image does not exist locally/);
    await expect(store.push(`${registry.host}/here:2`, {})).rejects.toThrow(/^tag does not exist: .*here:2$/);
    const [pushed] = await store.push(`${registry.host}/here:1`, {});
    await store.remove(`${registry.host}/here:1`, nobody);
    await store.remove('127.0.0.1:1/here:1', nobody);
    await store.pull(`${registry.host}/here@${pushed!.digest}`);
    const allTags = store.push(`${registry.host}/here`, { allTags: true });
    await expect(allTags).rejects.toThrow(/^no tags to push for .*here$/);
  });

  it('has the registry take a layer from the repository that is most like this one', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    await using store = await open();
    const [first, ...names] = ['x/one', 'y/two', 'x/three', 'z/four'].map((path) => `${registry.host}/${path}:1`);
    await make(store, [first!, ...names]);
    await store.push(first!, {});
    const from: (string | undefined)[] = [];
    for (const name of names) {
      await store.push(name, { onProgress: (told) => void (told.phase === 'mounted' && from.push(told.from)) });
    }
    expect(from).toEqual(['x/one', 'x/one', 'x/one', 'x/one', 'x/three', 'x/three']);
  });

  it('does not fetch a layer that it pushed and has still, and pushes the image unchanged', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    await using store = await open();
    const base = { entries: [file('a', randomBytes(300_000))] };
    const entries = [file('b', randomBytes(100_000))];
    await store.createImage({ config: {}, layers: [base], references: ['base:1'] });
    const name = `${registry.host}/both:1`;
    const { id } = await store.createImage({ config: {}, layers: [base, { entries }], references: [name] });
    const [pushed] = await store.push(name, {});
    await store.remove(name, nobody);
    const phases: string[] = [];
    const again = await store.pull(name, { onProgress: ({ phase }) => void phases.push(phase) });
    expect(again.id).toBe(id);
    expect(phases.filter((phase) => phase === 'exists' || phase === 'announced')).toEqual(['exists', 'announced']);
    expect(await store.push(name, {})).toEqual([pushed]);
    await store.remove('base:1', nobody);
    expect((await bytesOf(store.save([name]))).length).toBeGreaterThan(0);
  });
});

describe.skipIf(realRegistry === undefined)('a push through a bad line', () => {
  it('goes on with a large blob where it was cut off', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    await using proxy = await FaultyProxy.start(registry.host);
    await using store = await open({ clock: hastyClock });
    const name = `${proxy.host}/large:1`;
    const content = randomBytes(100 * 1024 * 1024);
    await store.createImage({
      config: {},
      layers: [{ entries: [file('large', content)] }],
      compression: 'gzip',
      references: [name],
    });
    let refused = 0;
    proxy.rule = ({ method, headers }, outgoing) => {
      const isSecond = method === 'PATCH' && String(headers['content-range']).startsWith('67108864-');
      if (!isSecond || refused++ > 0) return false;
      outgoing.writeHead(503, { Connection: 'close' }).end();
      return true;
    };
    await store.push(name, {});
    const parts = (): number[] =>
      proxy.seen.filter(({ method }) => method === 'PATCH').map(({ range }) => Number(range!.split('-')[0]));
    expect(parts()).toEqual([0, 67_108_864, 67_108_864]);
    // A registry that has lost what it was sent gets it from the beginning.
    let cuts = 0;
    proxy.seen.length = 0;
    await store.tag(name, `${proxy.host}/again:1`);
    proxy.rule = (incoming, outgoing) => {
      if (incoming.url!.includes('mount=') || (incoming.method === 'HEAD' && incoming.url!.includes('/blobs/'))) {
        if (incoming.method === 'HEAD') outgoing.writeHead(404).end();
        incoming.url = incoming.url!.replace(/\?mount=.*/, '');
        return incoming.method === 'HEAD';
      }
      return incoming.method === 'PATCH' && cuts++ === 0 ? { cutAfter: 1_000_000 } : false;
    };
    await store.push(`${proxy.host}/again:1`, {});
    expect(cuts).toBeGreaterThan(1);
    proxy.rule = () => false;
    await using other = await open();
    const { id } = await other.pull(`${proxy.host}/again:1`);
    const { lowerDirectories } = await other.rootfs(id, 'o');
    expect(readFileSync(join(lowerDirectories[0]!, 'large')).equals(content)).toBe(true);
  });

  it('sends the rest of what is compressed meanwhile once it is whole', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    await using proxy = await FaultyProxy.start(registry.host);
    const directory = fresh();
    await using store = await open({ directory, clock: hastyClock });
    const name = `${proxy.host}/growing:1`;
    const content = randomBytes(5_000_000);
    const { id } = await store.createImage({
      config: {},
      layers: [{ entries: [file('large', content), file('more', Buffer.alloc(3_000_000, 'text '))] }],
      references: [name],
    });
    const moments = [
      { cutAfter: 0, method: 'PATCH' },
      { cutAfter: 1_500_000, method: 'PATCH' },
      { cutAfter: -1, method: 'PUT' },
    ];
    const digests = new Set<string>();
    for (const [index, { method, cutAfter }] of moments.entries()) {
      const other = `${proxy.host}/growing${index}:1`;
      await store.tag(name, other);
      let cuts = 0;
      proxy.rule = (incoming, outgoing) => {
        if (incoming.method === 'HEAD' && incoming.url!.includes('/blobs/')) {
          outgoing.writeHead(404).end();
          return true;
        }
        incoming.url = incoming.url!.replace(/\?mount=.*/, '');
        const isIt = incoming.method === method && incoming.url.includes('/blobs/uploads/');
        if (!isIt || cuts++ > 0) return false;
        if (cutAfter >= 0) return { cutAfter };
        outgoing.writeHead(503, { Connection: 'close' }).end();
        return true;
      };
      const [pushed] = await store.push(other, {});
      digests.add(pushed!.digest);
      expect(cuts).toBeGreaterThan(0);
    }
    expect(digests.size).toBe(1);
    proxy.rule = () => false;
    await using puller = await open();
    expect((await puller.pull(`${registry.host}/growing1:1`)).id).toBe(id);
    const [folder] = (await puller.rootfs(id, 'o')).lowerDirectories;
    expect(readFileSync(join(folder!, 'large')).equals(content)).toBe(true);
    expect(readdirSync(join(directory, 'ingest'))).toEqual([]);
  });

  it('ends a push, and leaves nothing of it, where it is called off or the disk is full', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    const directory = fresh();
    mkdirSync(directory, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', directory]);
    try {
      await using store = await open({ directory, clock: hastyClock });
      const name = `${registry.host}/full:1`;
      const layers = [{ entries: [file('large', randomBytes(15_000_000))] }];
      await store.createImage({ config: {}, layers, references: [name] });
      const stop = new AbortController();
      const onProgress = ({ current = 0 }: PushProgress): void => {
        if (current > 0) stop.abort();
      };
      await expect(store.push(name, { signal: stop.signal, onProgress })).rejects.toMatchObject({ code: 'cancelled' });
      expect(readdirSync(join(directory, 'ingest'))).toEqual([]);
      await expect(store.push(name, {})).rejects.toMatchObject({ code: 'exhausted' });
      expect(readdirSync(join(directory, 'ingest'))).toEqual([]);
      await expect(store.pull(name)).rejects.toMatchObject({ code: 'notFound' });
      execFileSync('mount', ['-o', 'remount,size=60m', directory]);
      await store.push(name, {});
    } finally {
      execFileSync('umount', [directory]);
    }
  });

  it('tries again what a registry is too busy for, and gives up in the end', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    await using proxy = await FaultyProxy.start(registry.host);
    await using store = await open({ clock: hastyClock });
    const name = `${proxy.host}/busy:1`;
    await make(store, [name], 'gzip');
    const failures = new Map<string, number>();
    const busy = (most: number) => (incoming: IncomingMessage, outgoing: ServerResponse) => {
      const key = `${incoming.method}`;
      if (incoming.url === '/v2/' || (failures.get(key) ?? 0) >= most) return false;
      failures.set(key, (failures.get(key) ?? 0) + 1);
      outgoing.writeHead(503).end();
      return true;
    };
    // One layer may meet all of them: a failure of each kind of request leaves it tries.
    proxy.rule = busy(1);
    expect(await store.push(name, {})).toHaveLength(1);
    expect(failures.size).toBeGreaterThan(2);
    failures.clear();
    proxy.rule = busy(1000);
    await expect(store.push(name, {})).rejects.toMatchObject({ code: 'internal' });
  });

  it('asks for a token with the scopes that it needs', async () => {
    await using registry = await RealRegistry.start({ directory: fresh() });
    await using proxy = await FaultyProxy.start(registry.host);
    await using store = await open();
    const [from, to] = [`${proxy.host}/one:1`, `${proxy.host}/two:1`];
    await make(store, [from, to], 'gzip');
    const scopes: string[][] = [];
    proxy.rule = (incoming, outgoing) => {
      const url = new URL(incoming.url!, `http://${proxy.host}`);
      if (url.pathname === '/token') {
        const right = incoming.headers.authorization === `Basic ${Buffer.from('bob:secret').toString('base64')}`;
        scopes.push(url.searchParams.getAll('scope'));
        outgoing.writeHead(right ? 200 : 401, { 'Content-Type': 'application/json' });
        const scope = url.searchParams.getAll('scope').join(' ');
        const answer = right
          ? { token: Buffer.from(scope).toString('base64url') || 'none', refresh_token: 'identity' }
          : { details: 'incorrect username or password' };
        outgoing.end(JSON.stringify(answer));
        return true;
      }
      const [, repository, kind] = /^\/v2\/([a-z]+)\/(.*)/.exec(url.pathname) ?? [];
      const needs =
        repository &&
        `repository:${repository}:${/GET|HEAD/.test(incoming.method!) && !kind!.startsWith('blobs/uploads') ? 'pull' : 'pull,push'}`;
      const granted = Buffer.from(
        String(incoming.headers.authorization ?? '').replace('Bearer ', ''),
        'base64url',
      ).toString();
      if (granted.includes(needs ?? '') && incoming.headers.authorization) return false;
      const challenge = `Bearer realm="http://${proxy.host}/token",service="test"${needs ? `,scope="${needs}"` : ''}`;
      outgoing
        .writeHead(401, { 'WWW-Authenticate': challenge })
        .end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
      return true;
    };
    const auth = { username: 'bob', password: 'secret' };
    await store.push(from, { auth });
    expect(scopes.at(-1)).toEqual(['repository:one:pull,push']);
    await store.push(to, { auth });
    expect(scopes.flat()).toContain('repository:one:pull');
    expect(await store.login(proxy.host, auth)).toEqual({ status: 'Login Succeeded', identityToken: 'identity' });
    await expect(store.login(proxy.host, { ...auth, password: 'x' })).rejects.toThrow(
      `Get "http://${proxy.host}/v2/": unauthorized: incorrect username or password`,
    );
    await expect(store.push(from, { auth: { ...auth, password: 'x' } })).rejects.toThrow(
      'unauthorized: incorrect username or password',
    );
  });
});
