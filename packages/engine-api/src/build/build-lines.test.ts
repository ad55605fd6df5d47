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
