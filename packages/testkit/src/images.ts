import { execFile } from 'node:child_process';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { type CreateImageOptions, type ImageStore, type LoadedImage, type TarInput, writeTar } from '@wherry/images';
import { type Digest, digestOf, formatReference, hostPlatform, parseReference } from '@wherry/oci';

const run = promisify(execFile);

/** From the package busybox-static. */
const busyboxPath = '/bin/busybox';
/** Of everything in the images, so that they are the same each time. */
const created = '2022-12-01T00:00:00Z';
const mtime = Date.parse(created) / 1000;
const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface BusyboxOptions {
  /**
   * What `/bin/sh` is: busybox' own, or the host's bash (bash-static, or bash with its libraries), which was the shell of the
   * cluster that the golden transcripts were recorded on (default: busybox).
   */
  readonly shell?: 'busybox' | 'bash' | undefined;
}

/** A part of an image: what `createImage` and `writeDockerArchive` take. */
export type TestImage = Pick<CreateImageOptions, 'config' | 'layers'>;

/** Busybox with all its applets, users and the usual folders. */
export async function busyboxImage(options: BusyboxOptions = {}): Promise<TestImage> {
  return {
    config: { created, config: { Env: [path], Cmd: ['sh'] } },
    layers: [{ entries: await busyboxEntries(options) }],
  };
}

/** Busybox' web server on port 80 with nginx' welcome page. It ends at once on SIGTERM and SIGQUIT. */
export async function webImage(options: BusyboxOptions = {}): Promise<TestImage> {
  const title = 'Welcome to nginx!';
  const page = `<!DOCTYPE html><html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>\n`;
  const www = [
    folder('usr/share/nginx'),
    folder('usr/share/nginx/html'),
    text('usr/share/nginx/html/index.html', page),
  ];
  return {
    config: {
      created,
      config: {
        Env: [path],
        // As process 1 it would not get signals for which it has no handler; this shell has them, and
        // it is told of the signal at once because `wait` is interrupted by traps.
        Cmd: ['/bin/busybox', 'sh', '-c', serve],
        ExposedPorts: { '80/tcp': {} },
        StopSignal: 'SIGQUIT',
      },
    },
    layers: [{ entries: await busyboxEntries(options) }, { entries: www }],
  };
}

const serve = [
  "trap 'kill $server; exit 0' TERM QUIT INT",
  'httpd -f -p 80 -h /usr/share/nginx/html & server=$!',
  'wait $server',
].join('\n');

/** Makes `busyboxImage` in a store under a name. */
export async function makeBusyboxImage(
  store: ImageStore,
  reference = 'busybox:1.35',
  options: BusyboxOptions = {},
): Promise<LoadedImage> {
  return await store.createImage({ ...(await busyboxImage(options)), references: [reference] });
}

/** Makes `webImage` in a store under a name. */
export async function makeWebImage(
  store: ImageStore,
  reference = 'nginx:1.22',
  options: BusyboxOptions = {},
): Promise<LoadedImage> {
  return await store.createImage({ ...(await webImage(options)), references: [reference] });
}

/** Writes an image as `docker save` does, for everything that loads such files. */
export async function writeDockerArchive(file: string, image: TestImage, references: readonly string[]): Promise<void> {
  const layers: Buffer[] = [];
  for (const layer of image.layers) {
    if ('folder' in layer) throw new Error('a layer of a folder cannot be written as an archive');
    const chunks: Uint8Array[] = [];
    for await (const chunk of 'tar' in layer ? layer.tar : writeTar(layer.entries)) chunks.push(chunk);
    layers.push(Buffer.concat(chunks));
  }
  const diffIds: Digest[] = layers.map(digestOf);
  const config = JSON.stringify({ ...image.config, ...hostPlatform(), rootfs: { type: 'layers', diff_ids: diffIds } });
  const configName = `${digestOf(config).slice(7)}.json`;
  const layerName = (digest: Digest): string => `${digest.slice(7)}/layer.tar`;
  const RepoTags = references.map((reference) => formatReference(parseReference(reference)));
  const list = [{ Config: configName, RepoTags, Layers: diffIds.map(layerName) }];
  const entries = [
    ...layers.map((layer, index) => text(layerName(diffIds[index]!), layer)),
    text(configName, config),
    text('manifest.json', JSON.stringify(list)),
  ];
  await pipeline(Readable.from(writeTar(entries)), createWriteStream(file));
}

const users: readonly (readonly [name: string, id: number, home: string, shell: string])[] = [
  ['root', 0, '/root', '/bin/sh'],
  ['daemon', 1, '/usr/sbin', '/bin/false'],
  ['bin', 2, '/bin', '/bin/false'],
  ['sys', 3, '/dev', '/bin/false'],
  ['sync', 100, '/bin', '/bin/sync'],
  ['mail', 8, '/var/spool/mail', '/bin/false'],
  ['www-data', 33, '/var/www', '/bin/false'],
  ['nobody', 65534, '/home', '/bin/false'],
];

async function busyboxEntries({ shell = 'busybox' }: BusyboxOptions): Promise<TarInput[]> {
  const { stdout } = await run(busyboxPath, ['--list']);
  const applets = stdout.split('\n').filter((name) => name !== '' && name !== 'busybox');
  const folders = [
    'bin',
    'dev',
    'etc',
    'home',
    'lib',
    'proc',
    'sys',
    'usr',
    'usr/bin',
    'usr/lib',
    'usr/sbin',
    'usr/share',
    'var',
    'var/spool',
    'var/spool/mail',
    'var/www',
  ];
  const entries: TarInput[] = [
    ...folders.map((name) => folder(name)),
    folder('root', 0o700),
    folder('tmp', 0o1777),
    folder('var/tmp', 0o1777),
    { name: 'sbin', type: 'symlink', mode: 0o777, linkName: 'bin', mtime },
    text('bin/busybox', await readFile(busyboxPath), 0o755),
    text(
      'etc/passwd',
      users.map(([name, id, home, login]) => `${name}:x:${id}:${id}:${name}:${home}:${login}\n`).join(''),
    ),
    text('etc/group', users.map(([name, id]) => `${name}:x:${id}:\n`).join('')),
    text('etc/shadow', users.map(([name]) => `${name}:*:::::::\n`).join(''), 0o600),
    text('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'),
  ];
  for (const name of applets) {
    if (name === 'sh' && shell === 'bash') continue;
    entries.push({ name: `bin/${name}`, type: 'link', mode: 0o755, linkName: 'bin/busybox', mtime });
  }
  if (shell === 'bash') entries.push(...(await bashEntries(new Set(folders))));
  return entries;
}

/** Bash as `/bin/sh`: the static one where it is installed, because a static busybox crashes beside a libc.so.6. */
async function bashEntries(there: Set<string>): Promise<TarInput[]> {
  const path = '/bin/bash-static';
  if (existsSync(path)) return [text('bin/sh', await readFile(path), 0o755)];
  return programEntries('/bin/bash', 'bin/sh', there);
}

/**
 * A program of the host with the libraries that its loader finds, at their places.
 * `there`: folders that are in the image already.
 */
export async function programEntries(
  program: string,
  target: string,
  there: Set<string> = new Set(),
): Promise<TarInput[]> {
  const { stdout } = await run('ldd', [program]);
  const libraries = [...stdout.matchAll(/(?:=> )?(\/[^\s(]+) \(0x/g)].map((match) => match[1]!);
  const entries: TarInput[] = [];
  const add = async (name: string, from: string): Promise<void> => {
    const parts = name.split('/');
    for (let depth = 1; depth < parts.length; depth++) {
      const parent = parts.slice(0, depth).join('/');
      if (there.has(parent)) continue;
      there.add(parent);
      entries.push(folder(parent));
    }
    const { size } = await stat(from);
    entries.push({ name, type: 'file', mode: 0o755, mtime, content: { size, body: createReadStream(from) } });
  };
  await add(target, program);
  for (const library of new Set(libraries)) await add(library.slice(1), await realpath(library));
  return entries;
}

function folder(name: string, mode = 0o755): TarInput {
  return { name, type: 'directory', mode, mtime };
}

function text(name: string, content: string | Buffer, mode = 0o644): TarInput {
  return { name, type: 'file', mode, mtime, content: Buffer.from(content) };
}
