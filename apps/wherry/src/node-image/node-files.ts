import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { access, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { promisify } from 'node:util';
import type { TarInput } from '@wherry/images';

const run = promisify(execFile);

/** Where Node stands in such an image. */
export const nodePath = '/usr/local/bin/node';

/** A file beside Node: its text, or one of this machine that is copied. */
export type ProgramFile = { readonly target: string } & ({ readonly text: string } | { readonly source: string });

/**
 * The files of an image that runs a program on Node: the binary that runs now, the libraries that it is linked to
 * (ldd(1)), the program's files and, where there is one, a static busybox as its shell.
 */
export async function nodeImageFiles(program: readonly ProgramFile[]): Promise<TarInput[]> {
  const files: TarInput[] = [];
  const folders = new Set<string>();
  const addFolder = (path: string): void => {
    if (path === '/' || folders.has(path)) return;
    addFolder(dirname(path));
    folders.add(path);
    files.push({ name: `${path.slice(1)}/`, type: 'directory', mode: path === '/tmp' ? 0o1777 : 0o755 });
  };
  const addFile = async (source: string, target: string): Promise<void> => {
    addFolder(dirname(target));
    const { size } = await stat(source);
    files.push({ name: target.slice(1), type: 'file', mode: 0o755, content: { size, body: createReadStream(source) } });
  };
  const addText = (target: string, text: string, mode = 0o644): void => {
    addFolder(dirname(target));
    files.push({ name: target.slice(1), type: 'file', mode, content: Buffer.from(text) });
  };
  await addFile(await realpath(process.execPath), nodePath);
  for (const library of await sharedLibraries(process.execPath)) await addFile(await realpath(library), library);
  for (const folder of ['/tmp', '/proc', '/sys', '/dev', '/etc']) addFolder(folder);
  addText('/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000:node:/home/node:/bin/sh\n');
  addText('/etc/group', 'root:x:0:\nnode:x:1000:\n');
  for (const file of program) {
    if ('text' in file) addText(file.target, file.text);
    else await addFile(file.source, file.target);
  }
  const busybox = await staticBusybox();
  if (busybox !== undefined) {
    await addFile(busybox, '/bin/busybox');
    for (const applet of await applets(busybox))
      if (applet !== 'busybox')
        files.push({ name: `bin/${applet}`, type: 'symlink', mode: 0o777, linkName: 'busybox' });
  }
  return files;
}

/** Absolute paths of a program's libraries and its loader. */
async function sharedLibraries(program: string): Promise<string[]> {
  const { stdout } = await run('ldd', [program]);
  const paths = stdout.split('\n').map((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1]);
  return [...new Set(paths.filter((path) => path !== undefined))];
}

async function staticBusybox(): Promise<string | undefined> {
  for (const path of ['/bin/busybox', '/usr/bin/busybox']) {
    if (
      !(await access(path).then(
        () => true,
        () => false,
      ))
    )
      continue;
    // A program without an interpreter (PT_INTERP) is static: it needs nothing else in the image.
    const image = await readFile(path);
    if (!image.includes('/ld-linux') && !image.includes('/ld-musl')) return path;
  }
  return undefined;
}

async function applets(busybox: string): Promise<string[]> {
  const { stdout } = await run(busybox, ['--list']);
  return stdout.split('\n').filter((name) => /^[a-z0-9_[.-]+$/.test(name) && basename(name) === name);
}
