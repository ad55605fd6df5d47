import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WherryError } from '@wherry/base';
import type { NodeImage } from './archive.ts';
import { nodePath, type ProgramFile } from './node-files.ts';

const programFolder = '/opt/wherry';
const dataFolder = '/var/lib/registry';

/** The registry as an image: this program on this Node. Its content goes to a volume. */
export async function registryImage(reference: string): Promise<NodeImage> {
  const program = [nodePath, `${programFolder}/wherry.js`, 'registry'];
  return {
    reference,
    files: [{ target: `${programFolder}/package.json`, text: '{"type":"module"}\n' }, ...(await bundle())],
    config: {
      Entrypoint: program,
      Cmd: ['serve', '--address', '0.0.0.0', '--root', dataFolder],
      ExposedPorts: { '5000/tcp': {} },
      Volumes: { [dataFolder]: {} },
    },
  };
}

/** The files of the built program, which stand beside this one. */
async function bundle(): Promise<ProgramFile[]> {
  const folder = fileURLToPath(new URL('.', import.meta.url));
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.js')).sort();
  if (!names.includes('wherry.js'))
    throw new WherryError('unavailable', 'an image can be made of the built program only');
  return names.map((name) => ({ target: `${programFolder}/${name}`, source: join(folder, name) }));
}
