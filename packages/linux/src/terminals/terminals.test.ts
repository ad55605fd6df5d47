import { execFile } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { spawnProgram, streamOfDescriptor } from '../processes/index.ts';
import { listenForTerminal, openTerminal, resizeTerminal } from './index.ts';

test('a program on a terminal sees its size; the master reads to the hang-up', async () => {
  const { master, slave } = openTerminal({ width: 100, height: 30 });
  resizeTerminal(master, { width: 120, height: 40 });
  const child = spawnProgram({ path: '/bin/stty', args: ['size'], descriptors: { 0: slave, 1: slave, 2: slave } });
  closeSync(slave);
  let text = '';
  const stream = streamOfDescriptor(master);
  const closed = new Promise((resolve) => stream.once('close', resolve));
  stream
    .on('error', () => undefined)
    .on('end', () => stream.destroy()) // the hang-up is an end when it came with the last of the text, else EIO
    .on('data', (chunk) => {
      text += String(chunk);
    });
  expect((await child.exited).exitCode).toBe(0);
  await closed;
  expect(text.trim()).toBe('40 120');
});

test('a terminal is handed over on a console socket', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-console-'));
  const plain = join(folder, 'socket');
  const socket = listenForTerminal(plain);
  const script =
    'import socket,os,pty,sys\nm,s=pty.openpty()\nc=socket.socket(socket.AF_UNIX)\nc.connect(sys.argv[1])\nsocket.send_fds(c,[b"x"],[m])\nos.write(s,b"hello")';
  await promisify(execFile)('python3', ['-c', script, plain]);
  const stream = streamOfDescriptor(await socket.terminal);
  stream.on('error', () => undefined);
  const data = await new Promise((resolve) => stream.once('data', resolve));
  expect(String(data)).toBe('hello');
  stream.destroy();
  socket[Symbol.dispose]();
  expect(existsSync(plain)).toBe(false);
  rmSync(folder, { recursive: true });
});
