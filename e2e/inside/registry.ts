// A registry on loopback inside the test machine's network with one image, `IMAGE:v1`; prints its host and port.

import { writeTar } from '@wherry/images';
import { digestOf, hostPlatform } from '@wherry/oci';
import { busyboxImage } from '@wherry/testkit';
import { TestRegistry } from '../../packages/images/test/test-registry.ts';

const image = await busyboxImage();
const registry = await TestRegistry.start();
const layers: Buffer[] = [];
for (const layer of image.layers) {
  if (!('entries' in layer)) throw new Error('a layer without entries');
  const chunks: Buffer[] = [];
  for await (const chunk of writeTar(layer.entries)) chunks.push(chunk);
  layers.push(Buffer.concat(chunks));
}
const rootfs = { type: 'layers', diff_ids: layers.map((layer) => digestOf(layer)) };
const config = Buffer.from(JSON.stringify({ ...image.config, ...hostPlatform(), rootfs }));
registry.addManifest(
  {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...registry.addBlob(config) },
    layers: layers.map((layer) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      ...registry.addBlob(layer),
    })),
  },
  'application/vnd.oci.image.manifest.v1+json',
  'v1',
);
console.log(`listening on ${registry.host}`);
