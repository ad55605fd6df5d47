import { expect, test } from 'vitest';
import { BodyReader } from '../config/body-reader.ts';
import { decodeConfig } from '../config/decode.ts';
import { applyChanges } from './changes.ts';

const empty = decodeConfig(new BodyReader({}, 'ContainerConfig'));

test('applies instructions', () => {
  const config = applyChanges({ ...empty, Env: ['A=1', 'B=2'] }, [
    'env A=3 C="x y"',
    'ENV D e f',
    'CMD echo hi',
    'ENTRYPOINT ["/e"]',
    'EXPOSE 80 53/udp',
    'LABEL k=v',
    'WORKDIR sub\nUSER u:g',
    'HEALTHCHECK --interval=1m30s --retries=2 CMD ["true"]',
  ]);
  expect(config).toMatchObject({
    Env: ['B=2', 'A=3', 'C=x y', 'D=e f'],
    Cmd: ['/bin/sh', '-c', 'echo hi'],
    Entrypoint: ['/e'],
    ExposedPorts: { '80/tcp': {}, '53/udp': {} },
    Labels: { k: 'v' },
    WorkingDir: '/sub',
    User: 'u:g',
    Healthcheck: { Test: ['CMD', 'true'], Interval: 90e9, Retries: 2 },
  });
});

test('refuses others', () => {
  expect(() => applyChanges(empty, ['RUN true'])).toThrow('RUN is not a valid change command');
  expect(() => applyChanges(empty, ['STOPSIGNAL odd'])).toThrow('invalid signal: odd');
});
