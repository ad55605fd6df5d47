import { expect, test } from 'vitest';
import { refuseZeroBytes } from './zero-bytes.ts';

test('a variable or an argument with a zero byte is refused, whatever the runtime would make of it', () => {
  const env = ['PATH=/bin'];
  expect(() => refuseZeroBytes({ args: ['sh'], env })).not.toThrow();
  expect(() => refuseZeroBytes({ args: ['sh'], env: [...env, 'A=a\0b'] })).toThrow(
    String.raw`error during container init: environment variable value can't contain null(\x00): "A=a\x00b": unknown`,
  );
  expect(() => refuseZeroBytes({ args: ['echo', 'a\0b'], env })).toThrow('exec: "echo": invalid argument: unknown');
});
