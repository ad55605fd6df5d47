// Runs the recorded walk of docker commands against a fresh engine and compares the transcripts with dockerd's:
//   node tools/run.mjs e2e/docker-golden.ts GOLDEN_DIR OUT_DIR [TOPIC ...]
// GOLDEN_DIR holds golden.sh and its transcripts, and `compare` beside it. The images that it needs are made here;
// topic `registry` needs the package docker-registry, topics `images` and `build` mmdebstrap.
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  createTestCluster,
  debianImage,
  debianWebImage,
  dockerBusyboxImage,
  repository,
  runProgram,
} from '@wherry/testkit';

const [golden, out, ...topics] = process.argv.slice(2) as [string, string, ...string[]];
const wants = (...names: string[]): boolean => topics.length === 0 || names.some((name) => topics.includes(name));
const cache = join(repository, 'node_modules', '.cache', 'wherry', 'images');

const engine = await createTestCluster({ upArgs: ['--engine-only'] });
let code = 1;
try {
  const { machine, dockerHost } = engine;
  await engine.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
  await engine.loadImage(await debianImage(cache), ['debian:bookworm']);
  await engine.loadImage(await debianWebImage(cache), ['nginx:latest']);
  await mkdir(out, { recursive: true });
  const registries = wants('registry')
    ? [
        machine.start(process.execPath, [
          join(repository, 'bin', 'wherry'),
          'registry',
          'serve',
          '--address',
          '127.0.0.1',
          '--port',
          '5000',
          '--root',
          join(machine.directory, 'registry-open'),
        ]),
      ]
    : [];
  const env = { OUT: resolve(out), DOCKER_HOST: dockerHost, ONLY: topics.join(' ') };
  const walk = await machine.run('bash', [join(resolve(golden), 'golden.sh')], { env, timeout: 1_800_000 });
  process.stderr.write(walk.stderr);
  for (const registry of registries) await registry[Symbol.asyncDispose]();
  await rm('/tmp/gw', { recursive: true, force: true });
  const compared = await runProgram(join(resolve(golden), '..', 'compare'), [resolve(golden), resolve(out), '-v']);
  process.stdout.write(compared.stdout);
  code = walk.code;
} finally {
  await engine[Symbol.asyncDispose]();
}
process.exit(code);
