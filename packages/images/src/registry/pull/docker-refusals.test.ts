import { WherryError } from '@wherry/base';
import type { ImageConfig, Manifest } from '@wherry/oci';
import { expect, it } from 'vitest';
import {
  checkAskedSystem,
  checkedLayers,
  checkImageSystem,
  checkLayerTypes,
  unpackRefusal,
} from './docker-refusals.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const manifest = { layers: [{ mediaType: '', digest, size: 1 }] } as unknown as Manifest;

function layersOf(config: object): unknown {
  const whole = { rootfs: { type: 'layers', diff_ids: [] }, ...config };
  return checkedLayers(manifest, whole as unknown as ImageConfig, Buffer.from(JSON.stringify(config)));
}

it('refuses images of other systems as dockerd does', () => {
  expect(() => checkAskedSystem('windows')).toThrow(/^operating system is not supported$/);
  expect(() => checkImageSystem({ os: 'windows' } as ImageConfig)).toThrow(
    'image operating system "windows" cannot be used on this platform: operating system is not supported',
  );
  expect(() => checkImageSystem({ os: '' } as ImageConfig)).not.toThrow();
});

it('refuses layers that are no image’s', () => {
  const typed = (mediaType: string): Manifest => ({ layers: [{ mediaType, digest, size: 1 }] }) as unknown as Manifest;
  for (const type of ['application/vnd.oci.image.layer.v1.tar+gzip', 'application/vnd.docker.image.rootfs.diff.tar']) {
    expect(() => checkLayerTypes(typed(type))).not.toThrow();
  }
  expect(() => checkLayerTypes(typed('application/x-layer'))).toThrow('unsupported media type application/x-layer');
});

it('says in its words that a manifest and its config have other layers', () => {
  const unlike = "layers from manifest don't match image configuration";
  expect(() => layersOf({})).toThrow('invalid rootfs in image configuration');
  expect(() => layersOf({ rootfs: { type: 'layers', diff_ids: [] } })).toThrow(unlike);
  expect(() => layersOf({ rootfs: { type: 'layers', diff_ids: ['x'] } })).toThrow(unlike);
  expect(layersOf({ rootfs: { type: 'layers', diff_ids: [digest] } })).toMatchObject([{ digest, diffId: digest }]);
  const refused = (words: string): unknown => unpackRefusal(new WherryError('corrupt', words));
  expect(refused(`wrong diff id calculated on extraction: ${digest}, expected ${digest}`)).toMatchObject({
    message: unlike,
  });
  expect(refused('unexpected EOF')).toMatchObject({ message: 'failed to register layer: unexpected EOF' });
});
