import { describe, expect, it } from 'vitest';
import { explainMiss, type MissedStep } from './explain-miss.ts';
import type { StepRecord } from './step-cache.ts';

const base = `sha256:${'a'.repeat(64)}`;
const other = `sha256:${'b'.repeat(64)}`;
const sum = (digit: string): string => digit.repeat(64);

function record(keyword: string, words: readonly string[], more: Partial<StepRecord> = {}): StepRecord {
  return { parent: base, keyword, words, image: 'sha256:image', createdAt: 0, lastUsedAt: 0, ...more };
}

function missed(keyword: string, words: readonly string[], more: Partial<MissedStep> = {}): MissedStep {
  return { parent: base, keyword, words, ...more };
}

const copied = (digit: string, to = '/app'): readonly string[] => [
  '/bin/sh',
  '-c',
  `#(nop) COPY dir:${sum(digit)} in ${to} `,
];
const run = (command: string, ...args: readonly string[]): readonly string[] => [
  ...(args.length > 0 ? [`|${args.length}`, ...args] : []),
  '/bin/sh',
  '-c',
  command,
];

describe('why a step is not cached', () => {
  it('knows nothing of a step that was never done', () => {
    expect(explainMiss(missed('RUN', run('make')), [])).toBe('no image with this step');
    expect(explainMiss(missed('RUN', run('make')), [record('COPY', copied('1'))])).toBe('no image with this step');
  });

  it('names the files that are others, and counts those beyond five', () => {
    const before = record('COPY', copied('1'), {
      files: { 'app/main.js': '1', 'app/old.js': '1', 'app/same.js': '1' },
    });
    const now = { 'app/main.js': '2', 'app/new.js': '1', 'app/same.js': '1' };
    expect(explainMiss(missed('COPY', copied('2'), { files: now }), [before])).toBe(
      'COPY: app/main.js changed, app/new.js added, app/old.js removed',
    );
    const many = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`${index}`, 'new']));
    const none = record('ADD', copied('1'), { files: {} });
    expect(explainMiss(missed('ADD', copied('2'), { files: many }), [none])).toBe(
      'ADD: 0 added, 1 added, 2 added, 3 added, 4 added, 3 more',
    );
  });

  it('says that content changed where the files of a step were too many to keep', () => {
    expect(explainMiss(missed('COPY', copied('2'), { files: { a: '1' } }), [record('COPY', copied('1'))])).toBe(
      'COPY: content changed',
    );
  });

  it('compares with the same instruction, not with the youngest at that place', () => {
    const records = [
      record('COPY', copied('3', '/docs'), { files: { 'docs/a': '1' } }),
      record('COPY', copied('1'), { files: { 'app/main.js': '1' } }),
    ];
    expect(explainMiss(missed('COPY', copied('2'), { files: { 'app/main.js': '2' } }), records)).toBe(
      'COPY: app/main.js changed',
    );
  });

  it('names build arguments that are others', () => {
    const before = record('RUN', run('make', 'MODE=fast', 'VERSION=1'));
    expect(explainMiss(missed('RUN', run('make', 'MODE=fast', 'VERSION=2')), [before])).toBe(
      'build argument VERSION changed',
    );
    expect(explainMiss(missed('RUN', run('make', 'MODE=slow')), [before])).toBe(
      'build arguments MODE, VERSION changed',
    );
  });

  it('says what the instruction was, or on which image it stood', () => {
    expect(explainMiss(missed('RUN', run('make all')), [record('RUN', run('make'))])).toBe(
      'no image with this step; the last RUN here was: make',
    );
    const elsewhere = record('RUN', run('make'), { parent: other });
    expect(explainMiss(missed('RUN', run('make')), [elsewhere])).toBe(
      'parent changed: bbbbbbbbbbbb before, now aaaaaaaaaaaa',
    );
    expect(explainMiss(missed('RUN', run('make')), [record('RUN', run('test')), elsewhere])).toMatch(/^parent changed/);
  });

  it('is left with what is mounted', () => {
    expect(explainMiss(missed('RUN', run('make'), { hasMounts: true }), [record('RUN', run('make'))])).toBe(
      'content of its mounts changed',
    );
  });
});
