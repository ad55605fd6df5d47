import { rmSync } from 'node:fs';
import { openEmbeddedStore } from '../src/index.ts';

// Run as a process of its own by the tests: writes in four lanes until it is killed or fails, and
// reports each acknowledged write as a line `lane n revision`, so after the store said so.
const [directory = '', size = '300', filler] = process.argv.slice(2);
const store = await openEmbeddedStore({ directory, keepRevisions: 200 });
const lanes = [0, 1, 2, 3];

async function write(lane: number): Promise<void> {
  const current = await store.get(`/lane/${lane}`);
  let n = current ? Number(Buffer.from(current.value).toString().split(' ')[0]) : 0;
  for (;;) {
    n++;
    const result = await store.put(`/lane/${lane}`, Buffer.from(`${n} ${'x'.repeat(Number(size))}`));
    if (!result.ok) throw new Error('refused');
    // An entry of the same number beside it: both must never be torn apart by more than one write.
    const entry = await store.put(`/entry/${lane}/${n}`, Buffer.alloc(Number(size), 'y'), 0);
    if (!entry.ok) {
      // The last run was killed between the two: the entry may be there already.
      continue;
    }
    process.stdout.write(`${lane} ${n} ${entry.revision}\n`);
  }
}

try {
  await Promise.all(lanes.map(write));
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  process.stdout.write(`failed ${code} ${message}\n`);
  const entries = (await store.list('/entry/')).items.length;
  process.stdout.write(`revision ${await store.revision()} entries ${entries}\n`);
  // With room again the same store goes on.
  if (filler !== undefined) rmSync(filler);
  const { ok } = await store.put('/after', Buffer.alloc(100));
  process.stdout.write(`after ${ok}\n`);
  await store[Symbol.asyncDispose]();
}
