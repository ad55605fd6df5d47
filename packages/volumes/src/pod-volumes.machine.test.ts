import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1ConfigMap, V1Pod, V1Volume } from '@wherry/api';
import { silentLogger, VirtualClock } from '@wherry/base';
import { mountsBelow } from '@wherry/linux';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPodVolumes, type DownwardFacts, type VolumeObjects } from './index.ts';

const facts: DownwardFacts = { allocatable: { cpu: '2', memory: '1Gi' }, hostIps: [], podIps: [] };
let root: string;
let outside: string;
const clock = new VirtualClock();
const configMaps = new Map<string, V1ConfigMap>();
let tokens = 0;
const objects: VolumeObjects = {
  configMap: async (_namespace, name) => configMaps.get(name),
  secret: async (_namespace, name) => (name === 'db' ? { data: { password: 'cCB3' } } : undefined),
  persistentVolumeClaim: async () => undefined,
  persistentVolume: async () => undefined,
  serviceAccountToken: async ({ expirationSeconds }) => ({
    token: `token${++tokens}`,
    expiresAt: clock.now() + expirationSeconds * 1000,
  }),
};

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'wherry-pods-'));
  outside = await mkdtemp(join(tmpdir(), 'wherry-outside-'));
  configMaps.clear();
  configMaps.set('cm', { data: { 'app.conf': 'one', lit: '1' } });
});
afterEach(async () => {
  expect(mountsBelow(root)).toEqual([]);
  await rm(root, { recursive: true });
  await rm(outside, { recursive: true });
});

const pod = (...volumes: V1Volume[]): V1Pod => ({
  metadata: { name: 'p', namespace: 'default', uid: 'uid-1', labels: { app: 'consume', tier: 'x' } },
  spec: { containers: [{ name: 'c', resources: { limits: { memory: '64Mi' } } }], volumes },
});
const make = (): ReturnType<typeof createPodVolumes> =>
  createPodVolumes({ rootDirectory: root, objects, clock, log: silentLogger });

describe('the volumes of a pod', () => {
  it('hold what the API says, follow it, and go without a trace', async () => {
    const volumes = make();
    const subject = pod(
      { name: 'cm', configMap: { name: 'cm' } },
      { name: 'sec', secret: { secretName: 'db', defaultMode: 0o400 } },
      {
        name: 'info',
        downwardAPI: {
          items: [
            { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
            { path: 'mem', resourceFieldRef: { containerName: 'c', resource: 'limits.memory', divisor: '1Mi' } },
          ],
        },
      },
      {
        name: 'all',
        projected: {
          sources: [{ configMap: { name: 'cm' } }, { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }],
        },
      },
      { name: 'mem', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
      { name: 'disk', emptyDir: {} },
    );
    const { volumes: mounted, refreshAt } = await volumes.mount(subject, facts);
    const at = (name: string, path = ''): string => join(mounted.get(name)?.hostPath ?? '', path);
    expect(await readFile(at('cm', 'app.conf'), 'utf8')).toBe('one');
    expect(await readFile(at('sec', 'password'), 'utf8')).toBe('p w');
    expect((await stat(at('sec', 'password'))).mode & 0o777).toBe(0o400);
    expect(await readFile(at('info', 'labels'), 'utf8')).toBe('app="consume"\ntier="x"');
    expect(await readFile(at('info', 'mem'), 'utf8')).toBe('64');
    expect(await readFile(at('all', 'token'), 'utf8')).toBe(`token${tokens}`);
    expect(refreshAt).toBe(clock.now() + 2880_000);
    expect((await stat(at('disk'))).mode & 0o777).toBe(0o777);
    await expect(writeFile(at('mem', 'big'), Buffer.alloc(2 << 20))).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(mountsBelow(root)).toHaveLength(4);

    configMaps.set('cm', { data: { lit: '2' } });
    await volumes.refresh(subject, facts);
    expect(await readFile(at('cm', 'lit'), 'utf8')).toBe('2');
    await clock.advance(2881_000);
    const before = tokens;
    await volumes.refresh(subject, facts);
    expect(await readFile(at('all', 'token'), 'utf8')).toBe(`token${before + 1}`);

    // Again, as after a restart: nothing is mounted twice, nothing is lost.
    await writeFile(at('disk', 'kept'), 'x');
    await make().mount(subject, facts);
    expect(mountsBelow(root)).toHaveLength(4);
    expect(await readFile(at('disk', 'kept'), 'utf8')).toBe('x');
    await volumes.remove('uid-1');
    await expect(stat(join(root, 'uid-1'))).rejects.toMatchObject({ code: 'ENOENT' });
    await volumes.remove('uid-1');
  });

  it('say what is missing', async () => {
    const volumes = make();
    await expect(volumes.mount(pod({ name: 'v', configMap: { name: 'no' } }), facts)).rejects.toMatchObject({
      code: 'notFound',
      message: 'MountVolume.SetUp failed for volume "v" : configmap "no" not found',
    });
    await expect(
      volumes.mount(pod({ name: 'h', hostPath: { path: join(outside, 'x'), type: 'Directory' } }), facts),
    ).rejects.toMatchObject({
      message: `MountVolume.SetUp failed for volume "h" : hostPath type check failed: ${join(outside, 'x')} is not a directory`,
    });
    await volumes.remove('uid-1');
  });

  it('mount a subPath that a container cannot lead astray, and never empty what is outside', async () => {
    const volumes = make();
    await writeFile(join(outside, 'precious'), 'keep');
    const shared = join(outside, 'shared');
    await mkdir(shared);
    await writeFile(join(shared, 'file'), 'f');
    await symlink('/etc', join(shared, 'trap'));
    const subject = pod({ name: 'h', hostPath: { path: shared } }, { name: 'cm', configMap: { name: 'cm' } });
    const mounted = await volumes.mount(subject, facts);
    const mountOf = (
      name: string,
      subPath: string,
    ): Promise<readonly { hostPath: string; readOnly?: boolean | undefined }[]> =>
      volumes.containerMounts({
        podUid: 'uid-1',
        mounted,
        expand: (text) => text,
        container: { name: 'c', volumeMounts: [{ name, mountPath: '/m', subPath }] },
      });
    const [file] = await mountOf('cm', 'app.conf');
    expect(file).toMatchObject({ containerPath: '/m', readOnly: true });
    expect(await readFile(file?.hostPath ?? '', 'utf8')).toBe('one');
    configMaps.set('cm', { data: { 'app.conf': 'two' } });
    await volumes.refresh(subject, facts);
    expect(await readFile(file?.hostPath ?? '', 'utf8')).toBe('one'); // as upstream: a subPath is not updated
    const [made] = await mountOf('h', 'new/deep');
    expect((await stat(join(shared, 'new/deep'))).ino).toBe((await stat(made?.hostPath ?? '')).ino);
    await expect(mountOf('h', 'trap/passwd')).rejects.toMatchObject({ code: 'invalid' });
    await expect(mountOf('h', '../precious')).rejects.toMatchObject({ code: 'invalid' });
    await writeFile(join(shared, 'new/deep/kept'), 'x');
    await volumes.remove('uid-1');
    expect(await readFile(join(shared, 'new/deep/kept'), 'utf8')).toBe('x');
    expect(await readFile(join(outside, 'precious'), 'utf8')).toBe('keep');
  });

  it('belong to the group of the pod', async () => {
    const volumes = make();
    const subject = pod({ name: 'd', emptyDir: {} }, { name: 'cm', configMap: { name: 'cm', defaultMode: 0o400 } });
    const withGroup: V1Pod = { ...subject, spec: { ...subject.spec!, securityContext: { fsGroup: 4242 } } };
    const { volumes: mounted } = await volumes.mount(withGroup, facts);
    const folder = await stat(mounted.get('d')?.hostPath ?? '');
    expect([folder.gid, folder.mode & 0o7777]).toEqual([4242, 0o2777]);
    const file = await stat(join(mounted.get('cm')?.hostPath ?? '', 'lit'));
    expect([file.gid, file.mode & 0o777]).toEqual([4242, 0o440]);
    await volumes.remove('uid-1');
  });
});
