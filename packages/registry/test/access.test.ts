import { createSign, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AccessRules, parseAccessRules } from '../src/auth/access.ts';
import { parseHtpasswd } from '../src/auth/htpasswd.ts';
import { signJwt } from '../src/auth/jwt.ts';
import type { AccessRule, RegistryOptions } from '../src/index.ts';
import { type TestClient, TestRegistry } from './test-client.ts';

let folder: string;
let htpasswd: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wherry-registry-users-'));
  htpasswd = join(folder, 'htpasswd');
  await writeFile(
    htpasswd,
    `# users\nalice:${hashSync('secret', 4)}\nbob:${hashSync('hunter2', 4).replace('$2b$', '$2y$')}\n`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const basic = (user: string, password: string) => ({
  Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});
const rules: readonly AccessRule[] = [
  { users: ['*'], repositories: ['public/**'], actions: ['pull'] },
  { users: ['alice'], repositories: ['**'], actions: ['pull', 'push', 'delete'] },
  { users: ['@users'], repositories: ['team/*'], actions: ['pull', 'push'] },
];
const start = (auth: RegistryOptions['auth']) => TestRegistry.start({ auth: { htpasswd, rules, ...auth } });

describe('rules', () => {
  it('allow by user, pattern and action, and nothing else', () => {
    const access = new AccessRules(rules);
    expect(access.allows(undefined, 'public/a/b', 'pull')).toBe(true);
    expect(access.allows(undefined, 'public/a', 'push')).toBe(false);
    expect(access.allows(undefined, 'team/a', 'pull')).toBe(false);
    expect(access.allows('bob', 'team/a', 'push')).toBe(true);
    expect(access.allows('bob', 'team/a/b', 'push')).toBe(false);
    expect(access.allows('bob', 'team/a', 'delete')).toBe(false);
    expect(access.allows('alice', 'anything', 'delete')).toBe(true);
    // What the pattern's author wrote is no regular expression.
    expect(new AccessRules([{ ...rules[1]!, repositories: ['a.b'] }]).allows('alice', 'axb', 'pull')).toBe(false);
  });

  it.each([
    [{}, 'no list'],
    [[{ users: ['a'], repositories: ['b'], actions: ['write'] }], 'unknown action "write"'],
    [[{ users: 'a', repositories: ['b'], actions: ['pull'] }], 'rule 1: users'],
    [[{ user: ['a'], repositories: ['b'], actions: ['pull'] }], 'unknown field "user"'],
  ])('are refused when they are wrong: %j', (value, message) => {
    expect(() => parseAccessRules(value)).toThrow(message);
  });
});

describe('htpasswd', () => {
  it.each([
    ['alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=', 'no bcrypt hash'],
    ['alice:secret', 'no bcrypt hash'],
    ['alice', 'is not name:hash'],
    [`alice:$2y$31$${'a'.repeat(53)}`, 'cost above 16'],
  ])('refuses %s', (line, message) => {
    expect(() => parseHtpasswd(`\n${line}\n`, 'users')).toThrow(new RegExp(`line 2.*${message}`));
  });

  it('lets in by name and password only, and challenges others', async () => {
    await using registry = await start({});
    const { client } = registry;
    const refused = await client.get('/v2/');
    expect([refused.status, refused.code, refused.headers['www-authenticate']]).toEqual([
      401,
      'UNAUTHORIZED',
      'Basic realm="wherry-registry"',
    ]);
    for (const [user, password] of [
      ['alice', 'secret'],
      ['bob', 'hunter2'],
    ] as const)
      for (let time = 0; time < 2; time++) expect((await client.get('/v2/', basic(user, password))).status).toBe(200);
    for (const [user, password] of [
      ['alice', 'hunter2'],
      ['alice', ''],
      ['eve', 'secret'],
      ['', ''],
      ['alice', 'secret'.padEnd(80, 'x')],
    ] as const)
      expect((await client.get('/v2/', basic(user, password))).status).toBe(401);
    for (const header of ['Basic', 'Basic !!!', 'Bearer x', `Basic ${Buffer.from('alice').toString('base64')}`])
      expect((await client.get('/v2/', { Authorization: header })).status).toBe(401);
  });

  it('applies the rules', async () => {
    await using registry = await start({});
    const { client } = registry;
    client.headers = basic('alice', 'secret');
    for (const name of ['public/app', 'team/app', 'private/app']) await client.pushImage(name, 'v1');
    const as = async (headers: Record<string, string>, method: string, path: string) => {
      client.headers = headers;
      return (await client.send(method, path)).status;
    };
    expect(await as({}, 'GET', '/v2/public/app/manifests/v1')).toBe(200);
    expect(await as({}, 'GET', '/v2/team/app/manifests/v1')).toBe(401);
    expect(await as({}, 'POST', '/v2/public/app/blobs/uploads/')).toBe(401);
    const bob = basic('bob', 'hunter2');
    expect(await as(bob, 'GET', '/v2/team/app/manifests/v1')).toBe(200);
    expect(await as(bob, 'GET', '/v2/private/app/manifests/v1')).toBe(403);
    expect(await as(bob, 'POST', '/v2/public/app/blobs/uploads/')).toBe(403);
    expect(await as(bob, 'DELETE', '/v2/team/app/manifests/v1')).toBe(403);
    client.headers = bob;
    expect((await client.get('/v2/_catalog')).json().repositories).toEqual(['public/app', 'team/app']);
    client.headers = {};
    expect((await client.get('/v2/_catalog')).status).toBe(401);
  });

  it('mounts nothing from where the user may not pull', async () => {
    await using registry = await start({});
    const { client } = registry;
    client.headers = basic('alice', 'secret');
    const digest = await client.pushBlob('private/app', 'secret content');
    client.headers = basic('bob', 'hunter2');
    for (const query of [`mount=${digest}&from=private/app`, `mount=${digest}`]) {
      expect((await client.send('POST', `/v2/team/app/blobs/uploads/?${query}`)).status).toBe(202);
      expect((await client.get(`/v2/team/app/blobs/${digest}`)).status).toBe(404);
    }
  });

  it('reads the file again when it changes, and keeps the last users when it is wrong', async () => {
    const file = join(folder, 'changing');
    await writeFile(file, `alice:${hashSync('one', 4)}\n`);
    const messages: string[] = [];
    const wake: (() => void)[] = [];
    const write = (message: string) => {
      messages.push(message);
      for (const one of wake.splice(0)) one();
    };
    const logged = async (message: string) => {
      while (!messages.includes(message)) await new Promise<void>((resolve) => wake.push(resolve));
    };
    const log = { debug: write, info: write, warn: write, error: write, with: () => log };
    await using registry = await TestRegistry.start({ auth: { htpasswd: file }, log });
    const { client } = registry;
    expect((await client.get('/v2/', basic('alice', 'one'))).status).toBe(200);
    await writeFile(file, `alice:${hashSync('two', 4)}\n`);
    await logged('users loaded');
    expect((await client.get('/v2/', basic('alice', 'one'))).status).toBe(401);
    expect((await client.get('/v2/', basic('alice', 'two'))).status).toBe(200);
    // A new password holds at once.
    await writeFile(file, `alice:${hashSync('three', 4)}\nbob:${hashSync('four', 4)}\n`);
    expect((await client.get('/v2/', basic('alice', 'three'))).status).toBe(200);
    expect((await client.get('/v2/', basic('bob', 'four'))).status).toBe(200);
    await writeFile(file, 'nonsense\n');
    await logged('users not loaded; the last ones stay');
    expect((await client.get('/v2/', basic('alice', 'three'))).status).toBe(200);
  });
});

describe('tokens', () => {
  const challenged = async (client: TestClient, method: string, path: string) => {
    const answer = await client.send(method, path);
    return [answer.status, answer.headers['www-authenticate']];
  };
  const token = async (client: TestClient, query: string, headers: Record<string, string> = {}) => {
    const answer = await client.get(`/token?service=wherry-registry&${query}`, headers);
    expect(answer.status).toBe(200);
    return { Authorization: `Bearer ${answer.json().token}` };
  };

  it('challenges with the scope that would do, and takes the token for it', async () => {
    await using registry = await start({ tokens: true });
    const { client, url } = registry;
    const realm = `Bearer realm="${url}/token",service="wherry-registry"`;
    expect(await challenged(client, 'GET', '/v2/')).toEqual([401, realm]);
    expect(await challenged(client, 'GET', '/v2/team/app/manifests/v1')).toEqual([
      401,
      `${realm},scope="repository:team/app:pull"`,
    ]);
    expect(await challenged(client, 'POST', '/v2/team/app/blobs/uploads/')).toEqual([
      401,
      `${realm},scope="repository:team/app:pull,push"`,
    ]);
    expect(await challenged(client, 'POST', '/v2/team/app/blobs/uploads/?mount=x&from=public/app')).toEqual([
      401,
      `${realm},scope="repository:team/app:pull,push repository:public/app:pull"`,
    ]);
    expect(await challenged(client, 'DELETE', '/v2/team/app/manifests/v1')).toEqual([
      401,
      `${realm},scope="repository:team/app:delete"`,
    ]);
    expect(await challenged(client, 'GET', '/v2/_catalog')).toEqual([401, `${realm},scope="registry:catalog:*"`]);
    client.headers = await token(client, 'scope=repository:team/app:pull,push', basic('bob', 'hunter2'));
    expect((await client.get('/v2/')).status).toBe(200);
    const image = await client.pushImage('team/app', 'v1');
    expect((await client.get('/v2/team/app/manifests/v1')).body.toString()).toBe(image.text);
    const [status, challenge] = await challenged(client, 'GET', '/v2/team/other/manifests/v1');
    expect([status, challenge]).toEqual([
      401,
      `${realm},scope="repository:team/other:pull",error="insufficient_scope"`,
    ]);
  });

  it('says what to ask for to who would mount what the token does not name, and uploads for who may not', async () => {
    await using registry = await start({ tokens: true });
    const { client, url } = registry;
    const alice = basic('alice', 'secret');
    const both = 'scope=repository:team/source:pull,push&scope=repository:private/app:pull,push';
    client.headers = await token(client, both, alice);
    const digest = await client.pushBlob('team/source', 'what teams share');
    const secret = await client.pushBlob('private/app', 'not theirs');
    const push = 'scope=repository:team/app:pull,push';
    client.headers = await token(client, push, basic('bob', 'hunter2'));
    const mount = (query: string) => challenged(client, 'POST', `/v2/team/app/blobs/uploads/?${query}`);
    expect(await mount(`mount=${digest}&from=team/source`)).toEqual([
      401,
      `Bearer realm="${url}/token",service="wherry-registry",` +
        'scope="repository:team/app:pull,push repository:team/source:pull",error="insufficient_scope"',
    ]);
    for (const query of [
      // Clients that ask for a token once for each request could not get further.
      `mount=${digest}`,
      `mount=${secret}&from=private/app`,
      `mount=${secret}`,
      `mount=${secret}&from=team/source`,
      `mount=${digest}&from=private/app`,
    ])
      expect((await mount(query))[0]).toBe(202);
    client.headers = await token(client, `${push}&scope=repository:team/source:pull`, basic('bob', 'hunter2'));
    for (const query of [`mount=${digest}&from=team/source`, `mount=${digest}`])
      expect((await mount(query))[0]).toBe(201);
    expect((await mount(`mount=${secret}`))[0]).toBe(202);
  });

  it('sends for tokens to where clients reach the registry, behind a proxy with TLS', async () => {
    const options = { auth: { htpasswd, rules, tokens: true }, externalUrl: 'https://images.example/' };
    await using registry = await TestRegistry.start(options);
    expect(await challenged(registry.client, 'GET', '/v2/')).toEqual([
      401,
      'Bearer realm="https://images.example/token",service="wherry-registry"',
    ]);
  });

  it('grants no more than the rules allow, and nothing at all to the wrong password', async () => {
    await using registry = await start({ tokens: true });
    const { client } = registry;
    client.headers = await token(client, 'scope=repository:public/app:pull,push&scope=repository:private/app:pull');
    expect((await client.get('/v2/public/app/manifests/v1')).status).toBe(404);
    expect((await client.send('POST', '/v2/public/app/blobs/uploads/')).status).toBe(401);
    expect((await client.get('/v2/private/app/manifests/v1')).status).toBe(401);
    expect((await client.get('/v2/_catalog')).status).toBe(401);
    client.headers = {};
    expect((await client.get('/token?service=wherry-registry', basic('bob', 'x'))).status).toBe(401);
    expect((await client.get('/token?service=other')).status).toBe(400);
    expect((await client.send('PUT', '/token')).status).toBe(405);
  });

  it('gives tokens to OAuth clients that post', async () => {
    await using registry = await start({ tokens: true });
    const post = (body: string) => registry.client.send('POST', '/token', { body });
    const form = 'service=wherry-registry&client_id=x&scope=repository:team/a:pull';
    const answer = await post(`grant_type=password&username=bob&password=hunter2&${form}`);
    expect([answer.status, typeof answer.json().token]).toEqual([200, 'string']);
    expect((await post(`grant_type=password&username=bob&password=wrong&${form}`)).status).toBe(401);
    expect((await post(`grant_type=refresh_token&refresh_token=x&${form}`)).status).toBe(400);
    expect((await post('x'.repeat(70_000))).status).toBe(400);
  });

  it('takes the catalogue scope of users only', async () => {
    await using registry = await start({ tokens: true });
    const { client } = registry;
    client.headers = await token(
      client,
      'scope=repository:public/app:pull,push&scope=repository:private/app:pull,push',
      basic('alice', 'secret'),
    );
    await client.pushBlob('public/app', 'x');
    await client.pushBlob('private/app', 'x');
    client.headers = await token(client, 'scope=registry:catalog:*', basic('bob', 'hunter2'));
    expect((await client.get('/v2/_catalog')).json().repositories).toEqual(['public/app']);
  });

  it('takes tokens of another issuer whose key is known, while they last and when they are meant for it', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const keys = join(folder, 'keys.json');
    await writeFile(keys, JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one' }] }));
    const issuer = { name: 'elsewhere', realm: 'https://auth.example/token', keys };
    await using registry = await TestRegistry.start({ auth: { issuer, service: 'images' } });
    const { client } = registry;
    expect((await client.get('/v2/')).headers['www-authenticate']).toBe(
      'Bearer realm="https://auth.example/token",service="images"',
    );
    const now = Math.floor(Date.now() / 1000);
    const right = {
      iss: 'elsewhere',
      aud: 'images',
      sub: 'carol',
      exp: now + 100,
      nbf: now,
      access: [{ type: 'repository', name: 'a', actions: ['pull', 'push'] }],
    };
    const tried = async (claims: object, key = privateKey, kid = 'one') => {
      client.headers = { Authorization: `Bearer ${signJwt(claims, key, kid)}` };
      return (await client.send('POST', '/v2/a/blobs/uploads/')).status;
    };
    expect(await tried(right)).toBe(202);
    expect(await tried({ ...right, aud: ['x', 'images'] })).toBe(202);
    expect(await tried({ ...right, aud: 'other' })).toBe(401);
    expect(await tried({ ...right, iss: 'other' })).toBe(401);
    expect(await tried({ ...right, exp: now - 100 })).toBe(401);
    expect(await tried({ ...right, nbf: now + 1000 })).toBe(401);
    expect(await tried({ ...right, exp: undefined })).toBe(401);
    expect(await tried({ ...right, access: [{ type: 'repository', name: 'b', actions: ['push'] }] })).toBe(401);
    expect(await tried(right, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)).toBe(401);
    expect(await tried(right, privateKey, 'two')).toBe(401);
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    for (const head of [{ alg: 'none' }, { alg: 'HS256', kid: 'one' }]) {
      client.headers = { Authorization: `Bearer ${encode(head)}.${encode(right)}.AA` };
      expect((await client.get('/v2/')).status).toBe(401);
    }
    const body = `${encode({ alg: 'RS256', kid: 'one' })}.${encode(right)}`;
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    client.headers = {
      Authorization: `Bearer ${body}.${createSign('sha256').update(body).sign(rsa).toString('base64url')}`,
    };
    expect((await client.get('/v2/')).status).toBe(401);
  });
});
