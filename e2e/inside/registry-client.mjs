// Pulls an image from a registry and pushes it under another name, with the npm package oci-registry-client:
//   node registry-client.mjs FOLDER HOST/FROM:TAG HOST/TO:TAG USER PASSWORD
// Prints what it saw as JSON. FOLDER is where the package is installed.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';

const [folder, from, to, username, password] = process.argv.slice(2);
const { RegistryClientV2, parseRepoAndRef } = createRequire(`${folder}/`)('oci-registry-client');

function open(name) {
  const repo = parseRepoAndRef(name);
  return { client: new RegistryClientV2({ repo, insecure: true, username, password }), ref: repo.tag };
}

const source = open(from);
const target = open(to);
const { tags } = await source.client.listTags();
const { resp, manifest } = await source.client.getManifest({ ref: source.ref });
const verified = [];
for (const { digest } of [manifest.config, ...manifest.layers]) {
  const { stream } = await source.client.createBlobReadStream({ digest });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  const content = Buffer.concat(chunks);
  verified.push(`sha256:${createHash('sha256').update(content).digest('hex')}` === digest);
  await target.client.blobUpload({ digest, stream: Readable.from([content]), contentLength: content.length });
}
const manifestData = Buffer.from(await resp.dockerBody());
const put = await target.client.putManifest({ manifestData, ref: target.ref, mediaType: manifest.mediaType });
const again = await target.client.getManifest({ ref: target.ref });
// It asks for a token to pull and push with, whatever it is about to do.
const deleted = await target.client.deleteManifest({ ref: put.digest }).then(
  () => 202,
  (error) => error.statusCode,
);
process.stdout.write(
  JSON.stringify({ tags, verified, same: again.manifest.config.digest === manifest.config.digest, deleted }),
);
