import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildSecrets } from './build-secrets.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wherry-secrets-'));
  await writeFile(join(folder, 's'), 'file');
  await writeFile(join(folder, 'large'), Buffer.alloc(512_001));
});
afterAll(async () => await rm(folder, { recursive: true, force: true }));

const base64 = (text: string): string => Buffer.from(text).toString('base64');

it('takes secrets from files and variables', async () => {
  const env = { TOKEN: 'variable' };
  const given = async (...texts: string[]) =>
    await buildSecrets(
      texts.map((text) => text.replace('DIR', folder)),
      env,
    );
  expect(await given()).toBe('');
  expect(await given('id=a b,src=DIR/s', 'env=TOKEN,id=t')).toBe(`a%20b=${base64('file')},t=${base64('variable')}`);
  expect(await given('id=TOKEN')).toBe(`TOKEN=${base64('variable')}`);
  expect(await given('type=env,id=x,src=TOKEN')).toBe(`x=${base64('variable')}`);
  expect(await given('src=DIR/s')).toBe(`${encodeURIComponent(`${folder}/s`)}=${base64('file')}`);
  await expect(given('id=x,src=DIR/none')).rejects.toMatchObject({ code: 'notFound' });
  await expect(given('id=none-of-either')).rejects.toMatchObject({ code: 'notFound' });
  await expect(given('id=x,src=DIR/large')).rejects.toThrow('secret x is too big: at most 500 KiB');
  for (const text of ['x', 'id=x,bogus=y', 'id=', 'id=x,type=ssh'])
    await expect(given(text)).rejects.toMatchObject({ code: 'invalid' });
});
