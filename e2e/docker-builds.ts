// Does the builds of docker-build-cases.ts by dockerd 26.1's classic builder and by the built product, with the same
// client, and shows where output, exit code, image config, history or layers are not the same:
//   node tools/run.mjs e2e/docker-builds.ts [PART-OF-A-NAME ...]
import { createReadStream } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DisposalStack, silentLogger } from '@wherry/base';
import { readTar } from '@wherry/images';
import { type Ran, type Running, runProgram, startProgram } from '@wherry/testkit';
import { dockerdPeer, type EnginePeer, wherryPeer } from '../bench/engine-peers.ts';
import { type BuildCase, buildCases } from './docker-build-cases.ts';

const wanted = process.argv.slice(2);
const cases = buildCases
  .slice(Number(process.env.FIRST ?? 0))
  .filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));

/** A shell on a peer's machine, with docker pointed at its engine. */
function shell(peer: EnginePeer, script: string, cwd: string): Promise<Ran> {
  const [program = '', ...enter] = peer.enter;
  return runProgram(program, [...enter, 'bash', '-c', script], {
    cwd,
    env: { ...peer.env, DOCKER_BUILDKIT: '0' },
    timeout: 60_000,
  });
}

/** What cases fetch: files on port 18099, a repository of git on its own. */
async function serve(peer: EnginePeer): Promise<AsyncDisposable> {
  const folder = join(peer.directory, 'served');
  const script = [
    'mkdir -p www ctx git/r/dir && cd ctx',
    'echo a > a.txt && mkdir sub && printf "FROM busybox\\nCOPY a.txt /\\n" | tee Dockerfile > sub/other',
    'tar czf ../www/ctx.tgz . && tar cf ../www/ctx.tar . && tar czf ../www/ar.tgz a.txt && cd ..',
    'printf "FROM busybox\\nLABEL remote=1\\n" > www/Remote && echo fetched > www/file.txt && touch -d @1000000000 www/*',
    'cd git/r && git init -q -b master . && git config user.email a@b && git config user.name a',
    'cp ../../ctx/Dockerfile ../../ctx/a.txt . && git add . && git commit -qm one && git checkout -qb branch',
    'mkdir -p dir && printf "FROM busybox\\nCOPY b.txt /\\n" > dir/Dockerfile && echo b > dir/b.txt',
    'git add . && git commit -qm two && git checkout -q master && cd .. && git clone -q --bare r r.git',
  ].join(' && ');
  await mkdir(folder, { recursive: true });
  const made = await shell(peer, script, folder);
  if (made.code !== 0) throw new Error(made.stderr);
  const [enter = '', ...more] = peer.enter;
  const start = (...words: string[]): Running => startProgram(enter, [...more, ...words], { cwd: folder });
  const http = start('python3', '-u', '-m', 'http.server', '18099', '--bind', '127.0.0.1', '--directory', 'www');
  // By its own name: as a child of git it would outlive a signal.
  const daemon = join((await runProgram('git', ['--exec-path'])).stdout.trim(), 'git-daemon');
  const git = start(daemon, '--verbose', '--export-all', '--listen=127.0.0.1', `--base-path=${folder}/git`);
  await http.waitFor('Serving');
  await git.waitFor('Ready to rumble');
  return {
    async [Symbol.asyncDispose]() {
      for (const server of [git, http]) await server[Symbol.asyncDispose]();
    },
  };
}

const inspected = ['Config', 'Architecture', 'Os', 'Author', 'RepoTags']
  .map((field) => `{{json .${field}}}`)
  .join('\n');

/** The transcript of one case, without what differs each time. */
async function transcript(
  peer: EnginePeer,
  { build = 'docker build -t t .' }: BuildCase,
  folder: string,
): Promise<string> {
  const ran = await shell(peer, build, folder);
  const lines = [`=> ${ran.code}`, ran.stdout, prefixed('2> ', ran.stderr)];
  const image = await shell(
    peer,
    `docker image inspect t -f '${inspected}' && docker history --no-trunc --format '{{.CreatedBy}} | {{.Size}}' t && docker save -o image.tar t`,
    folder,
  );
  if (image.code === 0) {
    lines.push(image.stdout, await layersOf(folder));
    await shell(peer, 'docker rmi t', folder);
  }
  return normal(lines.join('\n'));
}

async function layersOf(folder: string): Promise<string> {
  const unpack = join(folder, '.image');
  await mkdir(unpack);
  await runProgram('tar', ['xf', join(folder, 'image.tar'), '-C', unpack]);
  const manifest = JSON.parse((await runProgram('cat', [join(unpack, 'manifest.json')])).stdout) as {
    Layers: string[];
  }[];
  const lines: string[] = [];
  for (const [index, layer] of manifest[0]!.Layers.entries()) {
    if (index === 0 && manifest[0]!.Layers.length > 1) continue;
    const entries: string[] = [];
    for await (const { header: one, body } of readTar(createReadStream(join(unpack, layer)))) {
      for await (const _ of body);
      const link = one.linkName === '' ? '' : ` -> ${one.linkName}`;
      entries.push(`${one.type} ${one.mode.toString(8)} ${one.uid}:${one.gid} ${one.size} ${one.name}${link}`);
    }
    lines.push(`layer ${index}`, ...(entries.length > 200 ? [`${entries.length} entries`] : entries.sort()));
  }
  return lines.join('\n');
}

function normal(text: string): string {
  return text
    .replace(
      /(--->(?: Running in| Removed intermediate container)?|Successfully built|Removed intermediate container) [0-9a-f]{12}\b/g,
      '$1 ID',
    )
    .replace(/\b[0-9a-f]{64}\b/g, 'DIGEST')
    .replace(
      /^2> (DEPRECATED: The legacy builder| {12}(?:environment|BuildKit is currently|Install the buildx|https)|$).*\n?/gm,
      '',
    )
    .replace(/docker-build-git\d+/g, 'docker-build-gitN')
    .replace(/Sending build context to Docker daemon.*\r/g, '')
    .replace(/\n{2,}/g, '\n');
}

function prefixed(prefix: string, text: string): string {
  return text.replace(/^/gm, prefix);
}

await using stack = new DisposalStack(silentLogger);
const wherry = stack.use(await wherryPeer());
const dockerd = stack.use((await dockerdPeer())!);
for (const peer of [wherry, dockerd]) stack.use(await serve(peer));
const different: string[] = [];
for (const one of cases) {
  const texts: string[] = [];
  for (const peer of [dockerd, wherry]) {
    const folder = join(peer.directory, 'case');
    await mkdir(folder);
    if (one.files !== undefined) await runProgram('bash', ['-c', one.files], { cwd: folder });
    if (one.dockerfile !== undefined) await writeFile(join(folder, 'Dockerfile'), one.dockerfile);
    texts.push((await transcript(peer, one, folder)).replaceAll(peer.directory, 'DIRECTORY'));
    await rm(folder, { recursive: true, force: true });
  }
  if (texts[0] === texts[1]) continue;
  different.push(one.name);
  const [theirs, ours] = ['theirs', 'ours'].map((name) => join(wherry.directory, name)) as [string, string];
  await writeFile(theirs, texts[0]!);
  await writeFile(ours, texts[1]!);
  const { stdout } = await runProgram('diff', ['-U2', theirs, ours]);
  process.stdout.write(`##### ${one.name}\n${stdout.split('\n').slice(2).join('\n')}\n`);
}
process.stdout.write(`${cases.length - different.length} of ${cases.length} are the same\n`);
