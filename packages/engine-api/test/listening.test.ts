import { chmod, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createEngineApi } from '../src/index.ts';
import { fakeOptions } from './fake-parts.ts';

describe('the socket', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'engine-api-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const ping = (socketPath: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      request({ socketPath, path: '/_ping', agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });

  it('is its owner’s and takes the place of one that nobody serves', async () => {
    const path = join(folder, 'docker.sock');
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(join(folder, 'before'), resolve));
    // A server removes its own file only.
    await rename(join(folder, 'before'), path);
    await new Promise((resolve) => dead.close(resolve));
    await using api = await createEngineApi(fakeOptions());
    await api.listen(path);
    expect((await stat(path)).mode & 0o777).toBe(0o660);
    expect(await ping(path)).toBe(200);
  });

  it('is not taken from one who serves it, nor is another file', async () => {
    const path = join(folder, 'docker.sock');
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(path, resolve));
    await using api = await createEngineApi(fakeOptions());
    await expect(api.listen(path)).rejects.toMatchObject({ code: 'conflict' });
    await new Promise((resolve) => other.close(resolve));
    const file = join(folder, 'file');
    await writeFile(file, 'kept');
    await chmod(file, 0o600);
    await expect(api.listen(file)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('is gone with the server', async () => {
    const path = join(folder, 'docker.sock');
    const api = await createEngineApi(fakeOptions());
    await api.listen(path);
    await api[Symbol.asyncDispose]();
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
