// Works on an image store until it is killed: node tools/run.mjs packages/images/test/crash-program.ts MODE DIRECTORY [REFERENCE ...]
import { mkdirSync, writeFileSync } from 'node:fs';
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

for (let n = 0; ; n++) {
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
