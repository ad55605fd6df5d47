import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeNode, setExtendedAttribute } from '@wherry/linux';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createEngine } from '../src/index.ts';
import { InitLayers } from '../src/init-layers.ts';
import { containerConfig, podConfig, testMachine } from './machine.ts';

describe('the layer above an image', () => {
  let folder: string;
  const at = (path: string): string => join(folder, path);
  const layers = (): InitLayers => new InitLayers(at('init'));
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'wherry-init-'));
    for (const name of ['top', 'base']) mkdirSync(at(name));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** `MODE UID:GID PATH` of everything, in the order of paths. */
  function contentOf(layer: string, path = ''): string[] {
    return readdirSync(join(layer, path))
      .sort()
      .flatMap((name) => {
        const inner = join(path, name);
        const status = lstatSync(join(layer, inner));
        const line = `${(status.mode & 0o7777).toString(8)} ${status.uid}:${status.gid} ${inner}`;
        if (status.isDirectory()) return [`${line}/`, ...contentOf(layer, inner)];
        return [status.isSymbolicLink() ? `${inner} -> ${readlinkSync(join(layer, inner))}` : line];
      });
  }

  it('has everything over an empty one', () => {
    expect(contentOf(layers().above([at('base')]))).toEqual([
      ...['755 0:0 .dockerenv', '755 0:0 dev/', '755 0:0 dev/console', '755 0:0 dev/pts/', '755 0:0 dev/shm/'],
      ...['755 0:0 etc/', '755 0:0 etc/hostname', '755 0:0 etc/hosts', 'etc/mtab -> /proc/mounts'],
      ...['755 0:0 etc/resolv.conf', '755 0:0 proc/', '755 0:0 sys/'],
    ]);
  });

  it('leaves its folders as they are and takes the place of its files', () => {
    for (const path of ['base/dev/pts', 'base/etc/hosts', 'base/proc', 'top/etc', 'top/dev/shm'])
      mkdirSync(at(path), { recursive: true });
    chmodSync(at('top/etc'), 0o1750);
    chownSync(at('top/etc'), 3, 4);
    writeFileSync(at('base/etc/hostname'), 'of the image');
    symlinkSync('/elsewhere', at('top/etc/resolv.conf'));
    symlinkSync('/elsewhere', at('base/sys'));
    expect(contentOf(layers().above([at('top'), at('base')]))).toEqual([
      ...['755 0:0 .dockerenv', '755 0:0 dev/', '755 0:0 dev/console', '1750 3:4 etc/', '755 0:0 etc/hostname'],
      ...['etc/mtab -> /proc/mounts', '755 0:0 etc/resolv.conf', '755 0:0 sys/'],
    ]);
  });

  it('sees no further than its layers let', () => {
    mkdirSync(at('base/etc/hosts'), { recursive: true });
    mkdirSync(at('base/proc'));
    makeNode(at('top/proc'), { type: 'character', mode: 0o600, major: 0, minor: 0 });
    mkdirSync(at('top/etc'));
    setExtendedAttribute(at('top/etc'), 'trusted.overlay.opaque', Buffer.from('y'));
    mkdirSync(at('base/dev/pts'), { recursive: true });
    writeFileSync(at('top/dev'), '');
    expect(contentOf(layers().above([at('top'), at('base')]))).toEqual(
      expect.arrayContaining(['755 0:0 etc/hosts', '755 0:0 proc/', '755 0:0 dev/pts/']),
    );
  });

  it('is one for images that lack the same, and is kept as long as somebody uses it', () => {
    mkdirSync(at('top/proc'));
    const first = layers();
    const kept = first.above([at('base')]);
    const other = first.above([at('top'), at('base')]);
    expect(other).not.toBe(kept);
    mkdirSync(at('top/srv'));
    expect(layers().above([at('top')])).toBe(other);
    mkdirSync(at('init/.make-1'));
    layers().clear(new Set([kept]));
    expect(readdirSync(at('init')).map((name) => at(`init/${name}`))).toEqual([kept]);
  });
});

it('makes what is mounted on with the modes that runc gives it, through links, and nothing below a mount', async () => {
  await using machine = testMachine();
  await using engine = await createEngine(machine.options);
  mkdirSync(join(machine.folder, 'volume'));
  writeFileSync(join(machine.folder, 'file'), '');
  symlinkSync('/opt', join(machine.image, 'link'));
  const id = 'b'.repeat(64);
  const namespaces = { network: 'unmanaged', pid: 'container', ipc: 'pod' } as const;
  await engine.definePodSandbox(podConfig(machine, { id, namespaces }));
  const mount = (hostPath: string, containerPath: string) => ({
    hostPath: join(machine.folder, hostPath),
    containerPath,
  });
  const mounts = [mount('volume', '/link/v'), mount('file', '/a/f'), mount('volume', '/link/v/sub')];
  const config = { id, restartable: true, initLayer: true, mounts, tmpfs: [{ containerPath: '/t', options: [] }] };
  await engine.createContainer(id, containerConfig(['true'], config));
  await engine.startPodSandbox(id);
  await engine.startContainer(id);
  using root = await engine.openRootfs(id);
  const modeOf = (path: string): string => (lstatSync(join(root.upperDirectory, path)).mode & 0o7777).toString(8);
  expect(['opt', 'opt/v', 'a', 'a/f', 't'].map(modeOf)).toEqual(['755', '755', '755', '755', '755']);
  expect(readdirSync(join(root.upperDirectory, 'opt/v'))).toEqual([]);
});

it("is there for docker's containers alone, and is no change of theirs", async () => {
  await using machine = testMachine();
  await using engine = await createEngine(machine.options);
  const id = 'a'.repeat(64);
  const namespaces = { network: 'unmanaged', pid: 'container', ipc: 'pod' } as const;
  await engine.definePodSandbox(podConfig(machine, { id, namespaces }));
  await engine.createContainer(id, containerConfig(['sleep', '100'], { id, restartable: true, initLayer: true }));
  await engine.startPodSandbox(id);
  await engine.startContainer(id);
  const seen = await engine.execSync(id, ['ls', '-A', '/', '/etc'], 10);
  expect(String(seen.stdout)).toMatch(/^\.dockerenv$[\s\S]*^mtab$/m);
  {
    using root = await engine.openRootfs(id);
    expect(readdirSync(root.upperDirectory)).toEqual([]);
    expect(root.lowerDirectories).toHaveLength(2);
  }
  const pod = await engine.runPodSandbox(podConfig(machine));
  const other = await engine.createContainer(pod.id, containerConfig(['sleep', '100']));
  await engine.startContainer(other);
  expect(String((await engine.execSync(other, ['ls', '-A', '/'], 10)).stdout)).not.toContain('.dockerenv');
});
