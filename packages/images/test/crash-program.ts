// Works on an image store until it is killed: node tools/run.mjs packages/images/test/crash-program.ts MODE DIRECTORY [REFERENCE ...]
import { createReadStream, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '@wherry/base';
import { openImageStore } from '../src/index.ts';

const [mode, directory, ...references] = process.argv.slice(2) as [string, string, ...string[]];
const store = await openImageStore({ directory, log: silentLogger });
const say = (line: string): boolean => process.stdout.write(`${line}\n`);
say('open');

async function commit(n: number): Promise<void> {
  const upper = join(directory, '..', `upper-${process.pid}-${n}`);
  mkdirSync(upper);
  for (let file = 0; file < 50; file++) writeFileSync(join(upper, `f${file}`), `${n}-${file} `.repeat(1000));
  using layer = (await store.commitLayer({ upper, base: [], adopt: n % 2 === 0 }))!;
  const config = { architecture: 'amd64', os: 'linux', author: `${n}` };
  await store.assemble({ config, layers: [layer], references: [`made:${n}`] });
  say(`made:${n}`);
}

/** A file in pieces, with a word when a tenth of it has been asked for. */
async function* inTenths(path: string): AsyncGenerator<Buffer> {
  const { size } = statSync(path);
  let at = 0;
  for await (const chunk of createReadStream(path)) {
    const tenth = Math.floor((10 * at) / size);
    at += (chunk as Buffer).length;
    if (Math.floor((10 * at) / size) !== tenth) say(`read ${tenth + 1}`);
    yield chunk as Buffer;
  }
}

async function load(archive: string): Promise<void> {
  const onLayer = (): void => void say('unpacked');
  for (const image of await store.load(inTenths(archive), { onLayer })) say(`loaded ${image.names[0]}`);
}

for (let n = 0; ; n++) {
  if (mode === 'load') {
    await load(references[0]!);
    await store.rootfs(`loaded:${n % 2}`, 'held');
    say('held');
    const removed = n % 2 === 0 ? ['loaded:1'] : ['loaded:0', 'loaded:1'];
    // Before each: of an image that goes while the program is killed nothing else is known.
    for (const name of removed) {
      say(`removing ${name}`);
      await store.remove(name, { inUse: () => undefined, force: true });
    }
    say('removed');
    await store.release('held');
    await store.collectGarbage();
    say('collected');
    continue;
  }
  if (mode === 'pull') {
    for (const reference of references) {
      let megabytes = 0;
      await store.pull(reference, {
        onProgress: ({ phase, current }) => {
          if (phase === 'downloading' && Math.floor(current! / 1e6) !== megabytes) {
            megabytes = Math.floor(current! / 1e6);
            say(`at ${megabytes}`);
          }
        },
      });
      say(`pulled ${reference}`);
      await store.remove(reference, { inUse: () => undefined, force: true });
    }
  } else {
    await commit(n);
    if (mode === 'remove' && n >= 2) {
      await store.remove(`made:${n - 2}`, { inUse: () => undefined });
      say(`removed made:${n - 2}`);
    }
  }
}
