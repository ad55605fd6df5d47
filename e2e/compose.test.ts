import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { composePlugins, repository } from '@wherry/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from './eventually.ts';
import { useCluster } from './shared-cluster.ts';

const plugins = composePlugins(repository);

/** A store with its data in a volume, a web server that waits for it to be healthy, and a client of both. */
const project = `
name: shop
services:
  store:
    image: busybox:1.35
    command: ["sh", "-c", "mkdir -p /data/www; test -f /data/www/first || date +%N > /data/www/first; sleep 0.3; exec httpd -f -p 8000 -h /data/www"]
    volumes: ["data:/data"]
    networks: [back]
    stop_signal: KILL
    healthcheck: {test: ["CMD", "wget", "-qO-", "http://127.0.0.1:8000/first"], interval: 300ms, timeout: 2s, retries: 50}
  web:
    image: nginx:1.22
    depends_on: {store: {condition: service_healthy}}
    ports: ["127.0.0.1:18086:80"]
    networks: {back: {}, front: {aliases: [site]}}
  client:
    image: busybox:1.35
    environment: {GREETING: "\${GREETING:-hello}"}
    command: ["sh", "-c", "until wget -qO /page http://site/; do sleep 0.1; done; grep -o 'Welcome to nginx!' /page | head -1; echo $$GREETING; trap exit TERM; while :; do sleep 0.1; done"]
    depends_on: {web: {condition: service_started}}
    networks: [front]
    labels: {role: client}
volumes: {data: {labels: {of: shop}}}
networks:
  front: {}
  back: {internal: true}
`;

describe.skipIf(plugins === undefined)('docker compose', () => {
  const cluster = useCluster({ upArgs: ['--engine-only'] });
  let folder: string;
  const compose = async (...args: string[]): Promise<{ readonly out: string; readonly progress: string }> => {
    const ran = await cluster.it.docker(['compose', '--ansi', 'never', ...args], { cwd: folder, timeout: 60_000 });
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    // Compose clears lines even where it is told not to.
    return { out: ran.stdout.replaceAll('\u001b[2K', ''), progress: ran.stderr };
  };
  const states = async (): Promise<string[]> => {
    const { out } = await compose('ps', '-a', '--format', '{{.Name}} {{.State}} {{.Health}}');
    return out
      .trim()
      .split('\n')
      .map((line) => line.trim())
      .sort();
  };

  beforeAll(async () => {
    folder = join(cluster.it.machine.directory, 'project');
    const own = join(cluster.it.machine.directory, '.docker', 'cli-plugins');
    await mkdir(folder, { recursive: true });
    await mkdir(own, { recursive: true });
    await cp(join(plugins!, 'docker-compose'), join(own, 'docker-compose'));
    await writeFile(join(folder, 'compose.yaml'), project);
  });
  afterAll(async () => {
    await cluster.it.docker(['compose', 'down', '-v', '-t', '0'], { cwd: folder });
  });

  it('brings a project up in the order of its conditions', async () => {
    const { progress } = await compose('up', '-d', '--wait');
    const at = (text: string): number => {
      const found = progress.indexOf(text);
      expect(found, `${text} in ${progress}`).toBeGreaterThanOrEqual(0);
      return found;
    };
    expect(at('Container shop-store-1  Healthy')).toBeLessThan(at('Container shop-web-1  Starting'));
    expect(at('Container shop-web-1  Started')).toBeLessThan(at('Container shop-client-1  Starting'));
    expect(await states()).toEqual(['shop-client-1 running', 'shop-store-1 running healthy', 'shop-web-1 running']);
    await eventually(async () => {
      const page = await cluster.it.machine.run('curl', ['-s', '--max-time', '5', 'http://127.0.0.1:18086/']);
      expect(page.stdout).toContain('Welcome to nginx!');
    });
    expect((await compose('config', '--services')).out.trim().split('\n').sort()).toEqual(['client', 'store', 'web']);
  });

  it('shows logs, runs commands, copies files', async () => {
    await eventually(async () => {
      const { out } = await compose('logs', '--no-color', '--no-log-prefix', 'client');
      // What it said of a server that was not up yet is left out.
      expect(out.replace(/^wget: .*\n/gm, '')).toBe('Welcome to nginx!\nhello\n');
    });
    expect((await compose('exec', '-T', 'web', 'echo', 'in-exec')).out).toBe('in-exec\n');
    expect((await compose('port', 'web', '80')).out).toBe('127.0.0.1:18086\n');
    expect((await compose('run', '--rm', '-T', 'client', 'sh', '-c', 'echo once')).out).toBe('once\n');
    await writeFile(join(folder, 'note'), 'a note');
    await compose('cp', 'note', 'store:/data/note');
    expect((await compose('exec', '-T', 'store', 'cat', '/data/note')).out).toBe('a note');
    const top = await compose('top', 'store');
    expect(top.out).toContain('httpd');
  });

  it('leaves alone what is as it should be, and makes anew what is not', async () => {
    const ids = async () => (await compose('ps', '-q')).out.trim().split('\n').sort();
    const before = await ids();
    await compose('up', '-d');
    expect(await ids()).toEqual(before);
    const { mustDocker, env } = cluster.it;
    const first = (await compose('exec', '-T', 'store', 'cat', '/data/www/first')).out;
    const changed = await cluster.it.docker(['compose', 'up', '-d'], {
      cwd: folder,
      env: { ...env, GREETING: 'other' },
    });
    expect(changed.stderr).toContain('Container shop-client-1  Recreated');
    await eventually(async () => {
      expect((await compose('logs', '--no-log-prefix', 'client')).out).toContain('other');
    });
    await compose('up', '-d', '--force-recreate', 'store');
    expect((await compose('exec', '-T', 'store', 'cat', '/data/www/first')).out).toBe(first);
    expect(await mustDocker(['volume', 'ls', '-q'])).toBe('shop_data\n');
  });

  it('scales, stops, starts', async () => {
    await compose('up', '-d', '--scale', 'client=3', '--no-recreate');
    expect((await states()).filter((line) => line.startsWith('shop-client'))).toHaveLength(3);
    await compose('up', '-d', '--scale', 'client=1', '--no-recreate');
    expect((await states()).filter((line) => line.startsWith('shop-client'))).toHaveLength(1);
    await compose('stop', '-t', '1');
    expect((await states()).every((line) => line.includes('exited'))).toBe(true);
    await compose('start');
    await compose('restart', '-t', '1', 'client');
    expect(await states()).toHaveLength(3);
    await compose('pause', 'web');
    expect(await states()).toContainEqual(expect.stringContaining('shop-web-1 paused'));
    await compose('unpause', 'web');
  });

  it('takes everything away', async () => {
    const { progress } = await compose('down', '-v', '-t', '0');
    for (const text of ['Network shop_front  Removed', 'Network shop_back  Removed', 'Volume shop_data  Removed'])
      expect(progress).toContain(text);
    const left = ['ps -aq', 'volume ls -q', 'network ls -q --filter type=custom'];
    for (const command of left) expect(await cluster.it.mustDocker(command.split(' '))).toBe('');
  });
});
