import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '@wherry/base';
import { kubeconfigObject } from '@wherry/bootstrap';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parse } from 'yaml';
import { mergeKubeconfig, unmergeKubeconfig } from './kubeconfig-merge.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kubeconfig-'));
  path = join(folder, 'sub', 'config');
});
afterEach(() => rm(folder, { recursive: true }));

const ours = (server = 'https://127.0.0.1:6443') =>
  kubeconfigObject({ name: 'wherry', server, caCertificate: 'ca', user: { certificate: 'crt', key: 'key' } });

it('makes the file with its folder, readable by its owner only', async () => {
  await mergeKubeconfig(path, ours());
  expect(parse(await readFile(path, 'utf8'))).toMatchObject({
    kind: 'Config',
    'current-context': 'wherry',
    clusters: [{ name: 'wherry' }],
  });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

it('keeps other entries and comments, replaces its own, and takes them out again', async () => {
  await mergeKubeconfig(path, ours());
  const text =
    '# my clusters\napiVersion: v1\nkind: Config\nclusters:\n- name: other # mine\n  cluster: {server: https://x}\ncurrent-context: other\n';
  await writeFile(path, text);
  await mergeKubeconfig(path, ours('https://127.0.0.1:1'));
  await mergeKubeconfig(path, ours('https://127.0.0.1:2'));
  const merged = await readFile(path, 'utf8');
  expect(merged).toContain('# my clusters');
  expect(merged).toContain('# mine');
  const { clusters, contexts } = parse(merged) as {
    clusters: { name: string; cluster: { server: string } }[];
    contexts: unknown[];
  };
  expect(clusters.map(({ name, cluster }) => `${name} ${cluster.server}`)).toEqual([
    'other https://x',
    'wherry https://127.0.0.1:2',
  ]);
  expect(contexts).toHaveLength(1);
  expect(await unmergeKubeconfig(path, 'wherry')).toBe(true);
  expect(parse(await readFile(path, 'utf8'))).toMatchObject({ clusters: [{ name: 'other' }], contexts: [] });
  expect(await unmergeKubeconfig(path, 'wherry')).toBe(false);
});

it.each(['a: [', '- list', 'just text'])('leaves a file alone that is no kubeconfig: %s', async (text) => {
  await mergeKubeconfig(path, ours());
  await writeFile(path, text);
  expect(codeOf(await mergeKubeconfig(path, ours()).catch((error: unknown) => error))).toBe('invalid');
  expect(await readFile(path, 'utf8')).toBe(text);
});
