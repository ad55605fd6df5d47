import { randomBytes, randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type Frame, FrameReader, frame } from './frames.ts';

describe('frames', () => {
  it('are read as they were written, however the stream is cut', () => {
    for (let round = 0; round < 200; round++) {
      const written: Frame[] = Array.from({ length: randomInt(1, 8) }, () => ({
        stream: (['stdin', 'stdout', 'stderr'] as const)[randomInt(3)]!,
        content: randomBytes(randomInt(0, 300)),
      }));
      const bytes = Buffer.concat(written.map(({ stream, content }) => frame(stream, content)));
      const reader = new FrameReader();
      const read: Frame[] = [];
      for (let at = 0; at < bytes.length; ) {
        const end = Math.min(bytes.length, at + randomInt(1, 40));
        read.push(...reader.push(bytes.subarray(at, end)));
        at = end;
      }
      expect(read).toEqual(written);
      expect(reader.pending).toBe(0);
    }
  });

  it('are refused when they are none, or too long', () => {
    expect(() => new FrameReader().push(Buffer.from('GET / HTTP'))).toThrow('not a frame');
    expect(() => new FrameReader(10).push(frame('stdout', Buffer.alloc(11)))).toThrow('too long');
  });
});
