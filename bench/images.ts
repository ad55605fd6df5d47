import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { silentLogger } from '@wherry/base';
import { type ImageStore, openImageStore } from '@wherry/images';
import { RealRegistry } from '../packages/images/test/real-registry.ts';
import type { Measure } from './report.ts';

const megabyte = 1024 * 1024;
const nobody = { inUse: () => undefined };

/** Layers against GNU tar, a registry's blobs against curl, and what a large image costs in memory. */
export async function measureImages(): Promise<Measure[]> {
  const root = mkdtempSync(join(tmpdir(), 'wherry-bench-images-'));
  try {
    const tree = join(root, 'tree');
    makeTree(tree);
    return [...(await layers(root, tree)), ...(await registry(root, tree)), ...(await manyImages(root))];
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** 100 MB as distributions have them: many small files, some large, half of it compressible. */
function makeTree(folder: string): void {
  for (let n = 0; n < 40; n++) {
    const place = join(folder, `usr/share/part${n}`);
    mkdirSync(place, { recursive: true });
    for (let file = 0; file < 100; file++) {
      const size = 5000 + ((file * 977) % 15000);
      writeFileSync(join(place, `f${file}`), Buffer.concat([randomBytes(size / 2), Buffer.alloc(size / 2, 'text ')]));
    }
  }
  mkdirSync(join(folder, 'usr/lib'), { recursive: true });
  const large = 5 * megabyte;
  for (let n = 0; n < 10; n++) {
    writeFileSync(
      join(folder, `usr/lib/lib${n}`),
      Buffer.concat([randomBytes(large / 2), Buffer.alloc(large / 2, 'code')]),
    );
  }
}

const open = (directory: string): Promise<ImageStore> => openImageStore({ directory, log: silentLogger });

async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

const shell = (script: string, cwd: string): void =>
  void execFileSync('sh', ['-euc', script], { cwd, stdio: 'ignore' });

async function layers(root: string, tree: string): Promise<Measure[]> {
  await using store = await open(join(root, 'layers'));
  const commit = async (folder: string, adopt: boolean): Promise<void> => {
    using layer = await store.commitLayer({ upper: folder, base: [], adopt });
    if (!layer) throw new Error('no layer');
  };
  shell('true > warm', root);
  mkdirSync(join(root, 'small'));
  writeFileSync(join(root, 'small/file'), 'x');
  const cold = await timed(() => commit(join(root, 'small'), false));
  const small = await timed(() => commit(join(root, 'small'), false));
  const floor = await timed(() => shell('tar -C tree -cf t.tar . && sha256sum t.tar && sync -d t.tar', root));
  const copied = await timed(() => commit(tree, false));
  await store.collectGarbage();
  shell('cp -a tree adopted', root);
  const adopted = await timed(() => commit(join(root, 'adopted'), true));
  shell('gzip -k t.tar', root);
  const unpackFloor = await timed(() => shell('mkdir out && tar -C out -xzf t.tar.gz', root));
  await using other = await open(join(root, 'unpack'));
  const archive = await other.createImage({
    config: {},
    layers: [{ tar: createReadStream(join(root, 't.tar.gz')) }],
    compression: 'gzip',
  });
  const details = await other.details(archive.id);
  rmSync(join(details.folders[0]!, '..'), { recursive: true });
  const lag = new LoopLag();
  const unpacked = await timed(() => other.rootfs(archive.id, 'bench'));
  return [
    { name: 'commit a layer of one file', value: small, unit: 'ms', note: `${cold.toFixed(0)} ms the first time` },
    { name: 'commit 100 MB, copied', value: copied, unit: 'ms', against: { name: 'tar + sha256sum', value: floor } },
    {
      name: 'commit 100 MB, taken over',
      value: adopted,
      unit: 'ms',
      against: { name: 'tar + sha256sum', value: floor },
    },
    { name: 'unpack 100 MB', value: unpacked, unit: 'ms', against: { name: 'tar -xzf', value: unpackFloor } },
    { name: 'event loop late at most, unpacking', value: lag.end(), unit: 'ms', target: 20 },
  ];
}

async function registry(root: string, tree: string): Promise<Measure[]> {
  await using server = await RealRegistry.start({ directory: join(root, 'registry') });
  const name = `${server.host}/bench/app:1`;
  await using store = await open(join(root, 'push'));
  const upper = join(root, 'upper');
  shell('cp -a tree upper', root);
  using layer = (await store.commitLayer({ upper, base: [], adopt: true }))!;
  const config = { architecture: 'amd64', os: 'linux' };
  await store.assemble({ config, layers: [layer], references: [name] });
  const idle = await settledMemory();
  const memory = new PeakMemory();
  const floor = await timed(() => shell(`tar -C ${tree} -cf - . | gzip | sha256sum`, root));
  const pushed = await timed(() => store.push(name, {}));
  const again = await timed(() => store.push(name, {}));
  await store.remove(name, nobody);
  await using other = await open(join(root, 'pull'));
  const [blob] = JSON.parse(
    execFileSync('curl', [
      '-s',
      '-H',
      'Accept: application/vnd.docker.distribution.manifest.v2+json',
      `http://${server.host}/v2/bench/app/manifests/1`,
    ]).toString(),
  ).layers as { digest: string }[];
  const url = `http://${server.host}/v2/bench/app/blobs/${blob!.digest}`;
  const pullFloor = await timed(() =>
    shell(`curl -s ${url} | tee blob.gz | sha256sum && mkdir pulled && tar -C pulled -xzf blob.gz`, root),
  );
  const pulled = await timed(() => other.pull(name));
  const peak = memory.end() - idle;
  const saved = await timed(async () => {
    for await (const _ of other.save([name]));
  });
  return [
    { name: 'push 100 MB', value: pushed, unit: 'ms', against: { name: 'tar | gzip | sha256sum', value: floor } },
    { name: 'push it again', value: again, unit: 'ms' },
    {
      name: 'pull 100 MB',
      value: pulled,
      unit: 'ms',
      against: { name: 'curl, sha256sum, tar -xzf', value: pullFloor },
    },
    { name: 'memory above idle, pushing and pulling', value: peak, unit: 'MB', target: 150 },
    { name: 'save 100 MB', value: saved, unit: 'ms' },
  ];
}

async function manyImages(root: string): Promise<Measure[]> {
  const directory = join(root, 'many');
  await using store = await open(directory);
  const { id } = await store.createImage({ config: {}, layers: [{ entries: [] }], references: ['base:1'] });
  const layers = (await store.inspect(id)).image.layers;
  const made = await timed(async () => {
    for (let n = 0; n < 1000; n++) {
      const config = { architecture: 'amd64', os: 'linux', author: `${n}` };
      await store.assemble({ config, layers, references: [`many:${n}`] });
    }
  });
  await using reopened = await open(directory);
  const listed = await timed(() => reopened.summaries());
  const found = await timed(() => reopened.details('many:500'));
  const removed = await timed(async () => {
    for (let n = 0; n < 1000; n++) await reopened.remove(`many:${n}`, nobody);
  });
  const index = readFileSync(join(directory, 'images.jsonl')).length / megabyte;
  return [
    { name: 'assemble an image beside 1,000', value: made / 1000, unit: 'ms' },
    {
      name: 'list 1,000 images, first time',
      value: listed,
      unit: 'ms',
      target: 100,
      note: `${index.toFixed(1)} MB of index`,
    },
    { name: 'details of one of 1,000', value: found, unit: 'ms' },
    { name: 'remove an image beside 1,000', value: removed / 1000, unit: 'ms' },
  ];
}

/** How late timers were at most, in ms. */
class LoopLag {
  #latest = 0;
  #last = performance.now();
  readonly #timer = setInterval(() => {
    const now = performance.now();
    this.#latest = Math.max(this.#latest, now - this.#last - 5);
    this.#last = now;
  }, 5);

  end(): number {
    clearInterval(this.#timer);
    return this.#latest;
  }
}

async function settledMemory(): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 200));
  return process.memoryUsage.rss() / megabyte;
}

class PeakMemory {
  #peak = 0;
  readonly #timer = setInterval(() => {
    this.#peak = Math.max(this.#peak, process.memoryUsage.rss() / megabyte);
  }, 10);

  end(): number {
    clearInterval(this.#timer);
    return this.#peak;
  }
}
