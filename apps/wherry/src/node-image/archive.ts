import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type TarInput, writeTar } from '@wherry/images';
import { hostPlatform, type ImageConfig } from '@wherry/oci';
import { nodeImageFiles, type ProgramFile } from './node-files.ts';

/** An image of a program on the Node that runs now. */
export interface NodeImage {
  readonly reference: string;
  readonly files: readonly ProgramFile[];
  /** Of the image's config; `PATH` is set. */
  readonly config: ImageConfig['config'];
}

/** Writes an image as a docker archive (`docker save`'s format): one layer, its config, the list of both. */
export async function writeNodeArchive(path: string, { reference, files, config: settings }: NodeImage): Promise<void> {
  const layer = `${path}.layer`;
  try {
    const hash = createHash('sha256');
    const hashing = async function* (): AsyncGenerator<Buffer> {
      for await (const chunk of writeTar(await nodeImageFiles(files))) {
        hash.update(chunk);
        yield chunk;
      }
    };
    await pipeline(Readable.from(hashing()), createWriteStream(layer, { mode: 0o600 }));
    const config = {
      ...hostPlatform(),
      config: { Env: ['PATH=/usr/local/bin:/bin'], ...settings },
      rootfs: { type: 'layers', diff_ids: [`sha256:${hash.digest('hex')}`] },
    };
    const { size } = await stat(layer);
    const file = (name: string, content: TarInput['content']): TarInput => ({
      name,
      type: 'file',
      mode: 0o644,
      ...(content ? { content } : {}),
    });
    const manifest = [{ Config: 'config.json', RepoTags: [reference], Layers: ['layer.tar'] }];
    const entries = [
      file('layer.tar', { size, body: createReadStream(layer) }),
      file('config.json', Buffer.from(JSON.stringify(config))),
      file('manifest.json', Buffer.from(JSON.stringify(manifest))),
    ];
    await pipeline(Readable.from(writeTar(entries)), createWriteStream(path, { mode: 0o600 }));
  } finally {
    await rm(layer, { force: true });
  }
}
