import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuildMachine, buildMachine } from './build-machine.ts';

let machine: BuildMachine;
beforeAll(async () => {
  machine = await buildMachine();
});
afterAll(async () => await machine[Symbol.asyncDispose]());

const names = Array.from({ length: 1500 }, (_, index) => `d${index % 20}/f${index}`);
const files = Object.fromEntries(names.map((name) => [name, `${name}\n`]));
const digest = createHash('sha256')
  .update(
    [...names]
      .sort()
      .map((name) => `${name}\n`)
      .join(''),
  )
  .digest('hex');
const sum = 'cd /t && find . -type f | sort | xargs cat | sha256sum';

const outputOf = ({ events }: Awaited<ReturnType<BuildMachine['build']>>): string =>
  events.map((event) => (event.type === 'output' ? event.content.toString() : '')).join('');

describe('COPY of more files than are copied at once', () => {
  it('copies all of them, knows them again and sees a change', async () => {
    const dockerfile = `FROM busybox\nCOPY . /t/\nRUN rm -f /t/Dockerfile && ${sum}\n`;
    const first = await machine.build(dockerfile, { files });
    expect(first.error).toBeUndefined();
    expect(outputOf(first)).toContain(digest);
    const again = await machine.build(dockerfile, { files });
    expect(again.imageId).toBe(first.imageId);
    expect(again.lines.filter((line) => line.includes('Using cache'))).toHaveLength(2);
    const changed = await machine.build(dockerfile, { files: { ...files, 'd3/f3': 'other\n' } });
    expect(changed.imageId).not.toBe(first.imageId);
    expect(outputOf(changed)).not.toContain(digest);
  });

  it('copies from a stage, with owner and mode', async () => {
    const dockerfile = [
      'FROM busybox AS one',
      'COPY . /t/',
      'FROM busybox',
      'COPY --from=one --chown=7:8 --chmod=640 /t /t/',
      'RUN find /t -type f ! -user 7 -o -type f ! -group 8 -o -type f ! -perm 640 | wc -l',
      '',
    ].join('\n');
    const built = await machine.build(dockerfile, { files });
    expect(built.error).toBeUndefined();
    expect(outputOf(built).trim()).toBe('0');
  });

  it('says in the same words what is wrong', async () => {
    const missing = await machine.build('FROM busybox\nCOPY . nothing /t/\n', { files });
    expect(missing.error).toMatchObject({ code: 'invalid', message: /file not found in build context/ });
    const taken = await machine.build('FROM busybox\nRUN mkdir -p /t/d3/f3\nCOPY . /t/\n', { files });
    const few = await machine.build('FROM busybox\nRUN mkdir -p /t/d3/f3\nCOPY d3 /t/d3/\n', {
      files: { 'd3/f3': 'x' },
    });
    expect(taken.error?.message).toBe(few.error?.message);
  });
});

describe('a mount of many files', () => {
  it('is seen whole, known again, and changed', async () => {
    const dockerfile = `FROM busybox\nRUN --mount=type=bind,target=/t ${sum.replace('find .', 'find ./d*')}\n`;
    const first = await machine.build(dockerfile, { files });
    expect(first.error).toBeUndefined();
    expect(outputOf(first)).toContain(digest);
    const again = await machine.build(dockerfile, { files });
    expect(again.lines.filter((line) => line.includes('Using cache'))).toHaveLength(1);
    const changed = await machine.build(dockerfile, { files: { ...files, 'd3/f3': 'other\n' } });
    expect(outputOf(changed)).not.toContain(digest);
    const less = await machine.build(dockerfile, { files: { ...files, x: 'x', '.dockerignore': 'x\nd1\n' } });
    expect(outputOf(less)).not.toBe('');
    expect(outputOf(less)).not.toContain(digest);
  });

  it('fills a cache, which keeps owners', async () => {
    const dockerfile = [
      'FROM busybox AS one',
      'COPY --chown=7:8 . /t/',
      'FROM busybox',
      'RUN --mount=type=cache,id=many,from=one,source=/t,target=/c find /c -type f -user 7 -group 8 | wc -l',
      '',
    ].join('\n');
    const built = await machine.build(dockerfile, { files });
    expect(built.error).toBeUndefined();
    expect(outputOf(built).trim()).toBe(`${names.length}`);
  });
});
