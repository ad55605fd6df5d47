import { codeOf, messageOf, WherryError } from '@wherry/base';
import type { ImageConfig, Manifest } from '@wherry/oci';
import { layerRecords } from '../../image-registrar.ts';
import type { LayerRecord } from '../../metadata.ts';

const unlike = "layers from manifest don't match image configuration";

/** Throws `invalid` for a system that this machine cannot be asked to run. */
export function checkAskedSystem(os: string): void {
  if (os !== 'linux') throw new WherryError('invalid', 'operating system is not supported');
}

/** Throws `invalid` for the image of another system. */
export function checkImageSystem({ os }: ImageConfig): void {
  if (os === undefined || os === '' || os === 'linux') return;
  const words = `image operating system ${JSON.stringify(os)} cannot be used on this platform`;
  throw new WherryError('invalid', `${words}: operating system is not supported`);
}

const imageTypes = /^application\/vnd\.(?:oci\.image|docker\.image\.rootfs)\./i;

/** Throws `unsupported` for layers that are no image's. */
export function checkLayerTypes({ layers }: Manifest): void {
  const odd = layers.find(({ mediaType }) => !imageTypes.test(mediaType));
  if (odd !== undefined) throw new WherryError('unsupported', `unsupported media type ${odd.mediaType}`);
}

/** The layers of a manifest. Throws `corrupt` when they are not those of the config, or it has none. */
export function checkedLayers(manifest: Manifest, config: ImageConfig, document: Buffer): LayerRecord[] {
  const { rootfs } = (JSON.parse(document.toString('utf8')) ?? {}) as { rootfs?: unknown };
  if (rootfs === undefined || rootfs === null) {
    throw new WherryError('corrupt', 'invalid rootfs in image configuration');
  }
  try {
    return layerRecords(manifest, config);
  } catch (error) {
    throw new WherryError('corrupt', unlike, { cause: error });
  }
}

/** What dockerd says when a layer cannot be unpacked. */
export function unpackRefusal(error: unknown): unknown {
  if (codeOf(error) !== 'corrupt') return error;
  const words = messageOf(error);
  const told = words.startsWith('wrong diff id') ? unlike : `failed to register layer: ${words}`;
  return new WherryError('corrupt', told, { cause: error });
}
