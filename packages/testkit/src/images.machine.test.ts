import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@wherry/base';
import { type ImageStore, openImageStore } from '@wherry/images';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { busyboxImage, makeBusyboxImage, makeWebImage, webImage, writeDockerArchive } from './images.ts';

const root = mkdtempSync(join(tmpdir(), 'wherry-test-images-'));
chmodSync(root, 0o755);
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;
let store: ImageStore;
beforeEach(async () => {
  store = await openImageStore({ directory: join(root, `${count++}`), log: silentLogger });
});
afterEach(() => store[Symbol.asyncDispose]());

// In namespaces of its own that end with it: mounts, and a network with loopback only.
const enter = [
  'mount -t tmpfs none "$2" && cd "$2" && mkdir upper work root',
  'mount -t overlay -o "lowerdir=$1,upperdir=upper,workdir=work" none root',
  'mknod -m 666 root/dev/null c 1 3 && ip link set lo up && shift 2 && exec chroot root "$@"',
].join(' && ');

async function command(reference: string, ...args: string[]): Promise<string[]> {
  const { lowerDirectories } = await store.rootfs(reference, 'test');
  const mount = join(root, `mount${count++}`);
  mkdirSync(mount);
  return [
    '--mount',
    '--net',
    '--pid',
    '--fork',
    '--kill-child',
    '--propagation',
    'private',
    'sh',
    '-c',
    enter,
    'sh',
    lowerDirectories.join(':'),
    mount,
    ...args,
  ];
}

describe('test images', () => {
  it('run commands on busybox', async () => {
    const { names } = await makeBusyboxImage(store);
    expect(names).toEqual(['docker.io/library/busybox:1.35']);
    const script = 'id -un; ls -d /tmp /root /etc/passwd; tar --help 2>&1 | head -1; stat -c %a /tmp; echo $0';
    const output = execFileSync('unshare', await command('busybox:1.35', 'sh', '-c', script)).toString();
    expect(output.trim().split('\n')).toEqual([
      'root',
      '/etc/passwd',
      '/root',
      '/tmp',
      expect.stringMatching(/^BusyBox v/),
      '1777',
      'sh',
    ]);
  });

  it('can have bash as their shell', async () => {
    await makeBusyboxImage(store, 'walk', { shell: 'bash' });
    const args = await command('walk', '/bin/sh', '-c', 'echo x > /nosuch/x; echo done');
    const process_ = spawn('unshare', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let error = '';
    process_.stderr.on('data', (chunk) => {
      error += chunk;
    });
    await once(process_, 'close');
    expect(error.trim()).toBe('/bin/sh: line 1: /nosuch/x: No such file or directory');
  });

  it('serve a page, and end on SIGTERM and SIGQUIT', async () => {
    await makeWebImage(store);
    const { config } = await store.inspect('nginx:1.22');
    for (const signal of ['TERM', 'QUIT']) {
      // Process 1 of the pid namespace is the image's own command; a second process asks and signals.
      const script = `( until wget -qO- http://127.0.0.1/ 2>/dev/null; do usleep 10000; done; kill -${signal} 1 ) & exec "$@"`;
      const args = await command('nginx:1.22', '/bin/busybox', 'sh', '-c', script, 'sh', ...config.config!.Cmd!);
      const output = execFileSync('unshare', args, { timeout: 10_000 }).toString();
      expect(output).toContain('<title>Welcome to nginx!</title>');
    }
  });

  it('can be written as files', async () => {
    for (const [image, name] of [
      [await busyboxImage(), 'busybox:1.35'],
      [await webImage(), 'nginx:1.22'],
    ] as const) {
      const file = join(root, `${count++}.tar`);
      await writeDockerArchive(file, image, [name]);
      expect((await store.load(file))[0]!.names).toEqual([`docker.io/library/${name}`]);
    }
    const usage = await store.imageFsInfo();
    expect(usage.usedBytes).toBeLessThan(10_000_000);
  });
});
