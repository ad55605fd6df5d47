import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cloneRepository } from './clone-repository.ts';
import { isGitAddress, parseGitAddress } from './git-address.ts';

describe('addresses of repositories', () => {
  it('are those that docker takes for such', () => {
    for (const address of [
      'git://h/r',
      'git@h:r',
      'github.com/a/b',
      'https://h/r.git',
      'http://h/r.git#x',
      'ssh://h/r',
    ])
      expect(isGitAddress(address)).toBe(true);
    for (const address of ['https://h/r', 'https://h/r.git/archive.tar', './r.git', 'r.git', 'https://h/?x=.git'])
      expect(isGitAddress(address)).toBe(false);
  });

  it('have a ref and a folder', () => {
    expect(parseGitAddress('github.com/a/b')).toEqual({ url: 'https://github.com/a/b', ref: 'HEAD', folder: '' });
    expect(parseGitAddress('git://h:1/r.git#v1:sub/x')).toEqual({ url: 'git://h:1/r.git', ref: 'v1', folder: 'sub/x' });
    expect(parseGitAddress('https://h/r.git#:sub')).toEqual({ url: 'https://h/r.git', ref: 'HEAD', folder: 'sub' });
  });

  it.each([
    ['git@h:r.git', 'unsupported'],
    ['ssh://git@h/r.git', 'unsupported'],
    ['git://-oProxyCommand=x/r.git', 'invalid'],
    ['git://h/r.git#--upload-pack=x', 'invalid'],
    ['git://h/r.git#a b', 'invalid'],
    ['git://h/r.git#a..b', 'invalid'],
    ['ext::sh -c x', 'invalid'],
    ['file:///etc/r.git', 'invalid'],
  ])('refuses %s', (address, code) => {
    expect(() => parseGitAddress(address)).toThrow(expect.objectContaining({ code }));
  });
});

describe('a repository', () => {
  let folder: string;
  let server: Server;
  let base: string;
  const commits: string[] = [];

  /** git as its users run it. */
  function git(cwd: string, ...args: readonly string[]): string {
    const identity = ['-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'protocol.file.allow=always'];
    const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null' };
    return execFileSync('git', [...identity, ...args], {
      cwd,
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  function commit(at: string, message: string): void {
    git(at, 'add', '-A');
    git(at, 'commit', '--quiet', '-m', message);
    commits.push(git(at, 'rev-parse', 'HEAD').trim());
  }

  /** As a server without git's own protocol has it: plain files. */
  function publish(at: string, name: string): void {
    git(folder, 'clone', '--quiet', '--bare', at, name);
    git(join(folder, name), 'update-server-info');
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'clone-repository-'));
    const work = join(folder, 'work');
    mkdirSync(join(work, 'sub'), { recursive: true });
    git(work, 'init', '--quiet', '--initial-branch=master');
    writeFileSync(join(work, 'a.txt'), 'one');
    commit(work, 'one');
    writeFileSync(join(work, 'a.txt'), 'two');
    writeFileSync(join(work, 'sub', 's.txt'), 'sub');
    symlinkSync('/etc', join(work, 'out'));
    commit(work, 'two');
    git(work, 'tag', 'v2');
    git(work, 'checkout', '--quiet', '-b', 'other');
    writeFileSync(join(work, 'a.txt'), 'other');
    commit(work, 'three');
    git(work, 'checkout', '--quiet', 'master');
    publish(work, 'r.git');
    server = createServer((request, response) => {
      const path = join(folder, new URL(request.url!, 'http://h').pathname);
      if (!existsSync(path)) response.writeHead(404);
      response.end(existsSync(path) ? readFileSync(path) : '');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  async function cloned(address: string, keepsHistory = false) {
    const into = mkdtempSync(join(folder, 'into-'));
    return await cloneRepository(`${base}/${address}`, into, { keepsHistory, signal: new AbortController().signal });
  }

  it('comes by its branch, tag, commit and folder', async () => {
    const head = await cloned('r.git');
    expect([head.commit, readdirSync(head.folder).sort()]).toEqual([commits[1], ['a.txt', 'out', 'sub']]);
    const reads = async (ref: string): Promise<string> =>
      readFileSync(join((await cloned(`r.git#${ref}`)).folder, 'a.txt'), 'utf8');
    expect(await reads('other')).toBe('other');
    expect(await reads('v2')).toBe('two');
    expect(await reads(commits[0]!)).toBe('one');
    expect(await reads(commits[0]!.slice(0, 10))).toBe('one');
    expect(readdirSync((await cloned('r.git#v2:sub')).folder)).toEqual(['s.txt']);
    expect(existsSync(join((await cloned('r.git', true)).folder, '.git'))).toBe(true);
  });

  it('is told of in git’s words where it is not there', async () => {
    await expect(cloned('none.git')).rejects.toMatchObject({
      code: 'unavailable',
      message: /^error fetching: .*not found/s,
    });
    await expect(cloned('r.git#none')).rejects.toMatchObject({ code: 'unavailable', message: /find.* ref/s });
    await expect(cloned('r.git#:none')).rejects.toMatchObject({
      code: 'invalid',
      message: 'none: no such file or directory',
    });
    await expect(cloned('r.git#:a.txt')).rejects.toMatchObject({ code: 'invalid', message: /not a directory/ });
  });

  it('leads nowhere else, whatever its links say', async () => {
    for (const path of ['out', '../../../../etc', 'out/../../etc']) {
      await expect(cloned(`r.git#:${path}`)).rejects.toMatchObject({ code: 'invalid', message: /no such file/ });
    }
  });

  it.each(['file:///etc', `ext::sh -c touch% ${tmpdir()}/clone-repository-ran`])(
    'has no submodule of %s',
    async (url) => {
      const evil = mkdtempSync(join(folder, 'evil-'));
      git(evil, 'init', '--quiet', '--initial-branch=master');
      writeFileSync(join(evil, '.gitmodules'), `[submodule "m"]\n\tpath = m\n\turl = "${url}"\n`);
      git(evil, 'update-index', '--add', '--cacheinfo', `160000,${commits[0]},m`);
      git(evil, 'add', '.gitmodules');
      git(evil, 'commit', '--quiet', '-m', 'evil');
      const name = `${evil.split('/').at(-1)}.git`;
      publish(evil, name);
      await expect(cloned(name)).rejects.toMatchObject({ code: 'unavailable', message: /transport '\w+' not allowed/ });
      expect(existsSync(join(tmpdir(), 'clone-repository-ran'))).toBe(false);
    },
  );

  it.each([
    ['packed', Buffer.from(Array.from({ length: 300_000 }, (_, n) => (n * n * 31) >> 7))],
    ['checked-out', Buffer.alloc(300_000, 'a')],
  ])('is given up where a file of it is too large: %s', async (name, content) => {
    const work = mkdtempSync(join(folder, 'large-'));
    git(work, 'init', '--quiet', '--initial-branch=master');
    writeFileSync(join(work, 'large'), content);
    commit(work, name);
    publish(work, `${name}.git`);
    const options = { keepsHistory: false, signal: new AbortController().signal, largestFile: 100_000 };
    const clone = cloneRepository(`${base}/${name}.git`, mkdtempSync(join(folder, 'into-')), options);
    await expect(clone).rejects.toMatchObject({ code: 'tooLarge' });
  });

  it('is given up where its server takes too long', async () => {
    const hanging = createServer(() => undefined);
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
    try {
      const address = `http://127.0.0.1:${(hanging.address() as AddressInfo).port}/r.git`;
      const options = { keepsHistory: false, signal: new AbortController().signal, longest: 300 };
      const clone = cloneRepository(address, mkdtempSync(join(folder, 'into-')), options);
      await expect(clone).rejects.toMatchObject({ code: 'unavailable', message: /took longer than/ });
    } finally {
      hanging.closeAllConnections();
      await new Promise((resolve) => hanging.close(resolve));
    }
  });

  it('is fetched no longer than is wanted', async () => {
    const abort = new AbortController();
    const hanging = createServer(() => abort.abort());
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
    try {
      const address = `http://127.0.0.1:${(hanging.address() as AddressInfo).port}/r.git`;
      const clone = cloneRepository(address, mkdtempSync(join(folder, 'into-')), {
        keepsHistory: false,
        signal: abort.signal,
      });
      await expect(clone).rejects.toMatchObject({ code: 'cancelled' });
    } finally {
      hanging.closeAllConnections();
      await new Promise((resolve) => hanging.close(resolve));
    }
  });
});
