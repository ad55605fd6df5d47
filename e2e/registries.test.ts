import { join } from 'node:path';
import { createTestCluster, type Running, repository, type TestCluster } from '@wherry/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// How other registries are reached, and our own in its three places: alone, in the daemon, in a container.
// `named.lan` and the like are addresses inside of the machine, none of them loopback.

const names = ['named.lan', 'secure.lan', 'other.lan'];
const etcHosts = `127.0.0.1 localhost\n10.8.0.1 ${names.join(' ')}\n10.9.0.1 ranged.lan\n`;
let engine: TestCluster;
const running: Running[] = [];

beforeAll(async () => {
  engine = await createTestCluster({ ownEtc: true, start: false });
  await shell('ip addr add 10.8.0.1/32 dev lo; ip addr add 10.9.0.1/32 dev lo; cat > /etc/hosts', etcHosts);
  await serve('--port', '5001');
  await serve('--address', '0.0.0.0', '--port', '5002');
  await certificate('secure.lan');
  await serve('--address', '10.8.0.1', '--port', '5003', '--tls-cert', path('cert.pem'), '--tls-key', path('key.pem'));
  await engine.up([
    '--engine-only',
    '--registry',
    '--registry-mirror=http://127.0.0.1:1',
    '--registry-mirror=http://127.0.0.1:5001/',
    '--insecure-registry=http://named.lan:5002',
    '--insecure-registry=10.9.0.0/16',
  ]);
  await engine.loadTestImages();
});
afterAll(async () => {
  for (const registry of running) await registry[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

const path = (name: string): string => join(engine.machine.directory, name);

async function shell(script: string, input?: string): Promise<string> {
  const ran = await engine.machine.run('sh', ['-ec', script], input === undefined ? {} : { input });
  expect(ran).toMatchObject({ code: 0 });
  return ran.stdout;
}

async function serve(...args: string[]): Promise<void> {
  const root = ['--root', path(`registry-${running.length}`)];
  const program = [join(repository, 'bin', 'wherry'), 'registry', 'serve', ...root, ...args];
  const registry = engine.machine.start(process.execPath, program);
  running.push(registry);
  await registry.waitFor('registry serves');
}

async function certificate(name: string): Promise<void> {
  const key = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem';
  const names = `-subj /CN=${name} -addext subjectAltName=DNS:${name}`;
  await shell(`cd ${engine.machine.directory}; openssl req -x509 ${key} ${names} -days 2 -out cert.pem 2>/dev/null`);
}

/** Pushes an image to a registry and pulls it back; gives what docker says of a failure. */
async function thereAndBack(registry: string): Promise<string> {
  const name = `${registry}/team/app:1`;
  await engine.mustDocker(['tag', 'busybox:1.35', name]);
  const pushed = await engine.docker(['push', '-q', name]);
  await engine.mustDocker(['rmi', name]);
  if (pushed.code !== 0) return pushed.stderr;
  expect(await engine.docker(['pull', '-q', name])).toMatchObject({ code: 0, stdout: `${name}\n` });
  await engine.mustDocker(['rmi', name]);
  return 'there and back';
}

it('shows them as dockerd does, and keeps them over a restart', async () => {
  await engine.killDaemon();
  await engine.startAgain();
  const info = await engine.mustDocker(['info']);
  expect(info).toContain(' Insecure Registries:\n  named.lan:5002\n  10.9.0.0/16\n  127.0.0.0/8\n');
  expect(info).toContain(' Registry Mirrors:\n  http://127.0.0.1:1/\n  http://127.0.0.1:5001/\n');
  const changed = await engine.wherry(['up', '--quiet', '--insecure-registry=']);
  expect(changed).toMatchObject({ code: 1 });
  expect(changed.stderr).toContain('runs with other settings; stop it first with "wherry down"');
});

it('speaks without TLS where it was told so, by name or by range, and nowhere else', async () => {
  expect(await thereAndBack('named.lan:5002')).toBe('there and back');
  expect(await thereAndBack('ranged.lan:5002')).toBe('there and back');
  expect(await thereAndBack('10.9.0.1:5002')).toBe('there and back');
  const plain = 'http: server gave HTTP response to HTTPS client\n';
  expect(await thereAndBack('other.lan:5002')).toBe(`Get "https://other.lan:5002/v2/": ${plain}`);
});

it("trusts a registry's authority in /etc/docker/certs.d", async () => {
  const unknown = 'tls: failed to verify certificate: x509: certificate signed by unknown authority\n';
  expect(await thereAndBack('secure.lan:5003')).toBe(`Get "https://secure.lan:5003/v2/": ${unknown}`);
  const folder = '/etc/docker/certs.d/secure.lan:5003';
  await shell(`mkdir -p ${folder}; cp ${path('cert.pem')} ${folder}/ca.crt`);
  expect(await thereAndBack('secure.lan:5003')).toBe('there and back');
});

it('asks mirrors before docker.io, also for all tags and for what is there', async () => {
  for (const tag of ['1', '2']) {
    await engine.mustDocker(['tag', 'busybox:1.35', `127.0.0.1:5001/library/mirrored:${tag}`]);
    await engine.mustDocker(['push', '-q', `127.0.0.1:5001/library/mirrored:${tag}`]);
    await engine.mustDocker(['rmi', `127.0.0.1:5001/library/mirrored:${tag}`]);
  }
  expect(await engine.mustDocker(['pull', '-q', 'mirrored:1'])).toBe('docker.io/library/mirrored:1\n');
  expect(await engine.mustDocker(['run', '--rm', 'mirrored:1', 'echo', 'hi'])).toBe('hi\n');
  await engine.mustDocker(['pull', '-a', '-q', 'mirrored']);
  expect(await engine.mustDocker(['images', '--format', '{{.Tag}}', 'mirrored'])).toMatch(/^(1\n2|2\n1)\n$/);
  const missing = await engine.docker(['pull', 'missing:1']);
  expect(missing.stderr).toContain('Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io');
});

describe('the registry in the daemon', () => {
  const name = '127.0.0.1:5000/team/app:1';
  const namesOf = async (digest: string): Promise<number> =>
    Number(await shell(`stat -c %h ${path(`root/images/blobs/sha256/${digest.replace('sha256:', '')}`)}`));

  it('has its content where the images have theirs, once', async () => {
    const status = JSON.parse((await engine.wherry(['status', '-o', 'json'])).stdout) as Record<string, unknown>;
    const part = { name: 'registry', ready: true, message: 'http://127.0.0.1:5000' };
    expect(status.components).toContainEqual(part);
    const own = '127.0.0.1:5000/team/imported:1';
    await shell(`cd /bin; tar -cf ${path('import.tar')} busybox`);
    await engine.mustDocker(['import', path('import.tar'), own]);
    await engine.mustDocker(['push', '-q', own]);
    await engine.mustDocker(['rmi', own]);
    expect(await engine.mustDocker(['pull', own])).toContain('Download complete');
    const answer = await shell('curl -s http://127.0.0.1:5000/v2/team/imported/manifests/1');
    const [layer] = (JSON.parse(answer) as { layers: { digest: string }[] }).layers;
    expect(await namesOf(layer!.digest)).toBe(2);
    expect(await engine.mustDocker(['run', '--rm', own, '/busybox', 'echo', 'hi'])).toBe('hi\n');
    await engine.mustDocker(['rmi', own]);
  });

  it('keeps what images give up, over kill -9 too, and the other way round', async () => {
    expect(await thereAndBack('127.0.0.1:5000')).toBe('there and back');
    await engine.killDaemon();
    await engine.startAgain();
    expect(await engine.mustDocker(['run', '--rm', '--pull=always', '-q', name, 'echo', 'hi'])).toBe('hi\n');
    await shell(`curl -sf -X DELETE http://127.0.0.1:5000/v2/team/app/manifests/1`);
    const collected = await engine.wherry(['registry', 'gc', '--untagged', '--root', path('root/registry')]);
    expect(collected).toMatchObject({ code: 0 });
    expect(await engine.mustDocker(['run', '--rm', '--pull=never', name, 'echo', 'hi'])).toBe('hi\n');
    await engine.mustDocker(['rmi', name]);
  });
});

it('runs as a container whose volume has what was pushed', async () => {
  const made = await engine.wherry(['registry', 'image', path('registry.tar')]);
  const image = /^(\S+) written to/.exec(made.stdout)![1]!;
  await engine.mustDocker(['load', '-q', '-i', path('registry.tar')]);
  const run = ['run', '-d', '--name', 'registry', '-p', '5010:5000', '-v', 'pushed:/var/lib/registry', image];
  const serving = async (): Promise<void> => {
    await engine.mustDocker(run);
    await engine.startDocker(['logs', '-f', 'registry']).waitFor('registry serves');
  };
  await serving();
  expect(await thereAndBack('127.0.0.1:5010')).toBe('there and back');
  await engine.mustDocker(['rm', '-f', 'registry']);
  await serving();
  expect(await engine.mustDocker(['pull', '-q', '127.0.0.1:5010/team/app:1'])).toBe('127.0.0.1:5010/team/app:1\n');
  expect(await engine.mustDocker(['stop', 'registry'])).toBe('registry\n');
  const { stdout } = await engine.docker(['inspect', '-f', '{{.State.ExitCode}}', 'registry']);
  expect(stdout).toBe('0\n');
  await engine.mustDocker(['rm', 'registry']);
  await engine.mustDocker(['volume', 'rm', 'pushed']);
});

it('can be told otherwise at the next start', async () => {
  await engine.wherry(['down', '--quiet']);
  await engine.up(['--registry-mirror=', '--insecure-registry=other.lan:5002', '--registry=off']);
  const info = await engine.mustDocker(['info']);
  expect(info).toContain(' Insecure Registries:\n  other.lan:5002\n  127.0.0.0/8\n');
  expect(info).not.toContain('Registry Mirrors');
  expect((await engine.wherry(['status'])).stdout).not.toContain('registry');
  expect(await thereAndBack('other.lan:5002')).toBe('there and back');
});

it('refuses what dockerd refuses, in its words', async () => {
  const ran = await engine.wherry(['up', '--name', 'wrong', '--registry-mirror', 'mirror.example']);
  expect(ran.code).toBe(2);
  expect(ran.stderr).toContain(
    'invalid argument "mirror.example" for "--registry-mirror" flag: invalid mirror: unsupported scheme "" in "mirror.example"',
  );
});
