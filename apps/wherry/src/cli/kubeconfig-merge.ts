import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf, messageOf, WherryError, writeFileAtomically } from '@wherry/base';
import type { Kubeconfig } from '@wherry/bootstrap';
import { isMap, isSeq, parseDocument } from 'yaml';

/**
 * Puts a cluster's context into a kubeconfig file and makes it current. All else in the file, comments
 * included, stays; entries of the same name are replaced. A file that is not a kubeconfig is left alone (`invalid`).
 */
export async function mergeKubeconfig(path: string, added: Kubeconfig): Promise<void> {
  let text = '';
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  const document = parseDocument(text.trim() === '' ? 'apiVersion: v1\nkind: Config\n' : text);
  if (document.errors.length > 0 || !isMap(document.contents))
    throw new WherryError(
      'invalid',
      `${path} is not a kubeconfig file: ${document.errors[0] ? messageOf(document.errors[0]) : 'not a mapping'}`,
    );
  for (const section of ['clusters', 'users', 'contexts'] as const) {
    const entry = document.createNode(added[section][0]);
    const list = document.get(section);
    if (!isSeq(list)) {
      document.set(section, document.createNode([added[section][0]]));
      continue;
    }
    const at = list.items.findIndex((item) => isMap(item) && item.get('name') === added[section][0]!.name);
    if (at < 0) list.items.push(entry);
    else list.items[at] = entry;
  }
  document.set('current-context', added['current-context']);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFileAtomically(path, document.toString(), { mode: 0o600 });
}

/** Takes a cluster's entries out of a kubeconfig file again. A file that is not there or not ours to read stays as it is. */
export async function unmergeKubeconfig(path: string, name: string): Promise<boolean> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    return false;
  }
  const document = parseDocument(text);
  if (document.errors.length > 0 || !isMap(document.contents)) return false;
  let changed = false;
  for (const section of ['clusters', 'users', 'contexts']) {
    const list = document.get(section);
    if (!isSeq(list)) continue;
    const kept = list.items.filter((item) => !(isMap(item) && item.get('name') === name));
    changed ||= kept.length !== list.items.length;
    list.items = kept;
  }
  if (!changed) return false;
  if (document.get('current-context') === name) document.delete('current-context');
  await writeFileAtomically(path, document.toString(), { mode: 0o600 });
  return true;
}
