import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BuildEvent } from '../src/index.ts';
import { type BuildMachine, buildMachine, requestOf } from './build-machine.ts';

let machine: BuildMachine;
beforeAll(async () => {
  machine = await buildMachine();
});
afterAll(async () => await machine[Symbol.asyncDispose]());

it('a build keeps what it stands on from those who tidy up, and lets go of it', async () => {
  const { images, builder, folder } = machine;
  const inUse = (image: string) => {
    const build = builder.userOfImage(image);
    return build === undefined ? undefined : { containerId: build, running: true };
  };
  const prunings: Promise<unknown>[] = [];
  const tidy = (event: BuildEvent): void => {
    if (event.type !== 'done' && event.type !== 'running') return;
    prunings.push(images.prune({ all: false, filter: () => true, inUse }));
  };
  const steps = 'LABEL a=1\nRUN echo x > /x\nWORKDIR /w\nENV b=2';
  const dockerfile = `FROM busybox AS one\n${steps}\nFROM busybox AS two\nENV c=3\nRUN true\nCOPY --from=one /x /y\nLABEL d=4\n`;
  const context = mkdtempSync(join(folder, 'context-'));
  for (const tag of ['first', 'cached']) {
    const request = requestOf(context, dockerfile, { tags: [tag], onProgress: tidy });
    const { imageId } = await builder.build(request);
    await Promise.all(prunings.splice(0));
    expect(await machine.read(imageId, 'y')).toBe('x\n');
    expect(builder.userOfImage(imageId)).toBeUndefined();
  }
});
