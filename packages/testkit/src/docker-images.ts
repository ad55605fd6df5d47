import { execFile } from 'node:child_process';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { busyboxImage, type TestImage } from './images.ts';

const run = promisify(execFile);
/** The latest of them was made last. */
const created = '2022-12-01T00:00:00Z';
const debianCreated = '2022-12-01T00:01:00Z';
const webCreated = '2022-12-01T00:02:00Z';
const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Busybox as docker's classic builder leaves it: with a history. */
export async function dockerBusyboxImage(): Promise<TestImage> {
  const { config, layers } = await busyboxImage();
  const history = [
    {
      created,
      created_by: '/bin/sh -c #(nop) COPY dir:0000000000000000000000000000000000000000000000000000000000000000 in / ',
    },
    { created, created_by: '/bin/sh -c #(nop)  CMD ["sh"]', empty_layer: true },
  ];
  return { config: { ...config, history }, layers };
}

/** Debian 12 from the distribution's mirror, made once and kept in `cache`. Needs mmdebstrap and the mirror. */
export async function debianImage(cache: string): Promise<TestImage> {
  const tar = `${cache}/debian-bookworm.tar`;
  if (!existsSync(tar)) {
    await mkdir(dirname(tar), { recursive: true });
    const options = ['--variant=minbase', '--mode=root', '--quiet', '--format=tar', '--components=main'];
    await run('mmdebstrap', [...options, 'bookworm', `${tar}.new`], { maxBuffer: 1 << 26 });
    await rename(`${tar}.new`, tar);
  }
  return {
    config: {
      created: debianCreated,
      config: { Env: [path], Cmd: ['bash'] },
      history: [{ created: debianCreated, created_by: '' }],
    },
    layers: [{ tar: createReadStream(tar) }],
  };
}

const installing = [
  'apt-get update && apt-get install -y --no-install-recommends nginx-light && rm -rf /var/lib/apt/lists/* ',
  'ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log',
].join(' && ');

/** A web server's image on Debian's: several layers and settings, for what shows or moves images. It serves nothing. */
export async function debianWebImage(cache: string): Promise<TestImage> {
  const base = await debianImage(cache);
  const mtime = Date.parse(created) / 1000;
  const file = {
    name: 'usr/share/payload',
    type: 'file',
    mode: 0o644,
    mtime,
    content: Buffer.alloc(1 << 20, 'w'),
  } as const;
  const steps: readonly (readonly [string, boolean])[] = [
    [`/bin/sh -c ${installing}`, false],
    ['/bin/sh -c #(nop)  EXPOSE 80', true],
    ['/bin/sh -c #(nop)  STOPSIGNAL SIGQUIT', true],
    ['/bin/sh -c #(nop)  CMD ["nginx" "-g" "daemon off;"]', true],
  ];
  return {
    config: {
      created: webCreated,
      config: {
        Env: [path],
        Cmd: ['nginx', '-g', 'daemon off;'],
        ExposedPorts: { '80/tcp': {} },
        StopSignal: 'SIGQUIT',
      },
      history: [
        { created: debianCreated, created_by: '' },
        ...steps.map(([created_by, empty]) => ({
          created: webCreated,
          created_by,
          ...(empty ? { empty_layer: true } : {}),
        })),
      ],
    },
    layers: [...base.layers, { entries: [file] }],
  };
}
