import { VirtualClock } from '@wherry/base';
import { expect, it } from 'vitest';
import type { JsonLines } from '../http/json-lines.ts';
import { BuildLines } from './build-lines.ts';

const reference = '127.0.0.1:5000/b/web:1';
const digest = `sha256:${'a'.repeat(64)}`;

it('tells of the image that a step fetches as a pull does, each time anew', () => {
  const written: unknown[] = [];
  const lines = { write: (line: unknown) => written.push(line) } as unknown as JsonLines;
  const told = new BuildLines(lines, new VirtualClock());
  told.add({ type: 'resolved', reference });
  told.add({ type: 'pull', reference, digest, phase: 'exists' });
  told.add({ type: 'pulled', reference, digest, isNew: true });
  told.add({ type: 'resolved', reference });
  told.add({ type: 'pulled', reference, digest, isNew: false });
  told.add({ type: 'built', imageId: digest });
  expect(written).toEqual([
    { status: 'Pulling from b/web', id: '1' },
    { status: 'Already exists', progressDetail: {}, id: 'aaaaaaaaaaaa' },
    { status: `Digest: ${digest}` },
    { status: `Status: Downloaded newer image for ${reference}` },
    { status: 'Pulling from b/web', id: '1' },
    { status: `Digest: ${digest}` },
    { status: `Status: Image is up to date for ${reference}` },
    { stream: 'Successfully built aaaaaaaaaaaa\n' },
  ]);
});

it('tells that the container of the step that failed is gone where all are to go', () => {
  for (const [removesAll, last] of [
    [true, ' ---> Removed intermediate container bbbbbbbbbbbb\n'],
    [false, ' ---> Running in bbbbbbbbbbbb\n'],
  ] as const) {
    const written: { stream?: string }[] = [];
    const lines = { write: (line: object) => written.push(line) } as unknown as JsonLines;
    const told = new BuildLines(lines, new VirtualClock());
    told.add({ type: 'running', number: 2, containerId: 'a'.repeat(64) });
    told.add({ type: 'removed', number: 2, containerId: 'a'.repeat(64) });
    told.fail({ removesAll });
    expect(written).toHaveLength(2);
    told.add({ type: 'running', number: 3, containerId: 'b'.repeat(64) });
    told.fail({ removesAll });
    expect(written.at(-1)).toEqual({ stream: last });
  }
});
