// Runs the recorded walk of docker commands against a fresh engine and compares the transcripts with dockerd's:
//   node tools/run.mjs e2e/docker-golden.ts GOLDEN_DIR OUT_DIR [TOPIC ...]
// GOLDEN_DIR holds golden.sh and its transcripts, and `compare` beside it. The images that it needs are made here;
// that takes the package mmdebstrap, and for topics `images` and `build` the distribution's mirror, once.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  createTestCluster,
  debianImage,
  debianWebImage,
  dockerBusyboxImage,
  type Running,
  repository,
  runProgram,
} from '@wherry/testkit';
import { hash } from 'bcryptjs';
import { levelTranscripts } from './docker-transcripts.ts';

const [golden, out, ...topics] = process.argv.slice(2) as [string, string, ...string[]];
const wants = (...names: string[]): boolean => topics.length === 0 || names.some((name) => topics.includes(name));
const cache = join(repository, 'node_modules', '.cache', 'wherry', 'images');

const engine = await createTestCluster({ ownEtc: true, start: false });
const { machine, dockerHost } = engine;

/** The walk uses fixed folders below /tmp: a copy has its own, so that walks may run side by side. */
async function ownCopy(): Promise<string> {
  const folder = join(machine.directory, 'golden');
  await mkdir(folder);
  for (const name of ['golden.sh', 'lib.sh']) {
    const text = await readFile(join(resolve(golden), name), 'utf8');
    await writeFile(join(folder, name), text.replaceAll('/tmp/g', `${folder}/g`));
  }
  return join(folder, 'golden.sh');
}

/** Topic `registry` wants one for everybody on port 5000 and one of bob's on 5001. */
async function startRegistries(): Promise<AsyncDisposable> {
  const running: Running[] = [];
  if (wants('registry')) {
    const program = join(repository, 'bin', 'wherry');
    const users = join(machine.directory, 'htpasswd');
    await writeFile(users, `bob:${await hash('secret', 5)}\n`);
    for (const [port, more] of [
      ['5000', []],
      ['5001', ['--htpasswd', users]],
    ] as const) {
      const root = ['--root', join(machine.directory, `registry-${port}`)];
      running.push(machine.start(process.execPath, [program, 'registry', 'serve', '--port', port, ...root, ...more]));
    }
    for (const registry of running) await registry.waitFor(/listen|serv/i);
  }
  return {
    async [Symbol.asyncDispose]() {
      for (const registry of running) await registry[Symbol.asyncDispose]();
    },
  };
}

/** Where dockerd was recorded, docker's own registry was at an address of the machine, and nobody answered there. */
async function start(): Promise<void> {
  const hosts = '127.0.0.1 localhost registry-1.docker.io index.docker.io\n';
  await machine.run('sh', ['-c', 'cat > /etc/hosts'], { input: hosts });
  await engine.up(['--engine-only']);
}

let code = 1;
try {
  await start();
  await engine.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
  if (wants('images', 'build', 'system')) {
    await engine.loadImage(await debianImage(cache), ['debian:bookworm']);
    await engine.loadImage(await debianWebImage(cache), ['nginx:latest']);
  }
  await mkdir(out, { recursive: true });
  await using _ = await startRegistries();
  const env = { OUT: resolve(out), DOCKER_HOST: dockerHost, ONLY: topics.join(' '), LABEL: '/dev/null' };
  const walk = await machine.run('bash', [await ownCopy()], { env, timeout: 1_800_000 });
  process.stderr.write(walk.stderr);
  const level = (name: string): string => join(machine.directory, 'level', name);
  await levelTranscripts(resolve(golden), level('golden'));
  await levelTranscripts(resolve(out), level('got'));
  const compare = join(resolve(golden), '..', 'compare');
  const compared = await runProgram(compare, [level('golden'), level('got'), '-v']);
  process.stdout.write(compared.stdout);
  code = walk.code;
} finally {
  await engine[Symbol.asyncDispose]();
}
process.exit(code);
