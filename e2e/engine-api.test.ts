import { once } from 'node:events';
import { PassThrough, type Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { type TarInput, writeTar } from '@wherry/images';
import { createTestCluster, dockerBusyboxImage, type TestCluster } from '@wherry/testkit';
import Dockerode from 'dockerode';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// What the real clients of the Docker Engine API do, on the built product: dockerode by its streams, the docker CLI
// by its commands.
describe('the Docker Engine API', () => {
  let engine: TestCluster;
  let docker: Dockerode;
  beforeAll(async () => {
    engine = await createTestCluster({ upArgs: ['--engine-only'] });
    await engine.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
    docker = new Dockerode({ socketPath: engine.dockerHost.slice('unix://'.length) });
  });
  afterAll(() => engine[Symbol.asyncDispose]());

  async function output(stream: NodeJS.ReadableStream): Promise<{ stdout: string; stderr: string }> {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    docker.modem.demuxStream(stream, stdout, stderr);
    stream.on('end', () => [stdout, stderr].map((side) => side.end()));
    const [out, error] = await Promise.all([text(stdout), text(stderr)]);
    return { stdout: out, stderr: error };
  }

  it('joins a container to a client, input and both outputs, with and without an upgrade', async () => {
    for (const hijack of [true, false]) {
      const container = await docker.createContainer({
        Image: 'busybox',
        Cmd: ['sh', '-c', 'read line; echo "got $line"; echo problem >&2; exit 3'],
        OpenStdin: true,
        StdinOnce: true,
        AttachStdin: true,
        AttachStdout: true,
        AttachStderr: true,
      });
      const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack });
      const said = output(stream);
      await container.start();
      stream.write('a line\n');
      expect(await container.wait()).toEqual({ StatusCode: 3 });
      expect(await said).toEqual({ stdout: 'got a line\n', stderr: 'problem\n' });
      const logged = (await container.logs({ stdout: true, stderr: false })) as unknown as Buffer;
      expect(logged.subarray(8).toString()).toBe('got a line\n');
      await container.remove();
    }
  });

  it('follows a log until the container ends, runs commands in it and copies files', async () => {
    const container = await docker.createContainer({
      Image: 'busybox',
      Cmd: ['sh', '-c', 'echo up; while [ ! -e /end ]; do sleep 0.02; done; echo down'],
    });
    await container.start();
    const followed = output(await container.logs({ follow: true, stdout: true, stderr: true }));
    const exec = await container.exec({ Cmd: ['sh', '-c', 'cat; exit 4'], AttachStdin: true, AttachStdout: true });
    const stream = await exec.start({ hijack: true, stdin: true });
    const said = output(stream);
    stream.end('typed');
    expect(await said).toEqual({ stdout: 'typed', stderr: '' });
    expect(await exec.inspect()).toMatchObject({ Running: false, ExitCode: 4 });
    await container.putArchive((await archive([file('end', 'content')])) as never, { path: '/' });
    expect((await followed).stdout).toBe('up\ndown\n');
    await container.wait();
    const copied = await buffer((await container.getArchive({ path: '/end' })) as Readable);
    expect(copied.toString('latin1')).toContain('content');
    await container.remove();
  });

  it('tells of events as they happen, and builds', async () => {
    const events = (await docker.getEvents({ filters: { type: ['image'], event: ['tag'] } })) as Readable;
    const first = once(events, 'data');
    const context = await archive([
      file('Dockerfile', 'FROM busybox\nCOPY a /a\nRUN cat /a && exit 0\n'),
      file('a', 'x'),
    ]);
    const progress = await docker.buildImage(context as never, { t: 'built:1' });
    const lines = await new Promise<{ stream?: string }[]>((resolve, reject) =>
      docker.modem.followProgress(progress, (error, all) => (error ? reject(error) : resolve(all as never))),
    );
    const said = lines.map(({ stream }) => stream ?? '').join('');
    expect(said).toContain('Step 3/3 : RUN cat /a && exit 0\n');
    expect(said).toMatch(/Successfully built [0-9a-f]{12}\nSuccessfully tagged built:1\n$/);
    expect(JSON.parse(String((await first)[0]))).toMatchObject({ Type: 'image', Action: 'tag' });
    events.destroy();
    await docker.getImage('built:1').remove();
  });

  it('serves the docker CLI', async () => {
    expect(await engine.mustDocker(['run', '--rm', '-i', 'busybox', 'cat'], { input: 'through' })).toBe('through');
    expect((await engine.docker(['run', '--rm', 'busybox', 'sh', '-c', 'exit 7'])).code).toBe(7);
    await engine.mustDocker(['network', 'create', '--subnet', '10.77.0.0/24', 'net']);
    await engine.mustDocker(['volume', 'create', 'vol']);
    const run = ['run', '-d', '--name', 'web', '--network', 'net', '-v', 'vol:/data', 'busybox', 'sleep', '600'];
    await engine.mustDocker(run);
    expect(await engine.mustDocker(['network', 'inspect', '-f', '{{range .Containers}}{{.Name}}{{end}}', 'net'])).toBe(
      'web\n',
    );
    expect((await engine.docker(['network', 'rm', 'net'])).stderr).toContain('has active endpoints');
    expect((await engine.docker(['volume', 'rm', 'vol'])).stderr).toContain('volume is in use');
    expect(await engine.mustDocker(['system', 'df', '--format', '{{.Type}} {{.TotalCount}} {{.Active}}'])).toBe(
      'Images 1 1\nContainers 1 1\nLocal Volumes 1 1\nBuild Cache 0 0\n',
    );
    await engine.mustDocker(['rm', '-f', 'web']);
    expect(await engine.mustDocker(['system', 'prune', '-f'])).toContain('Deleted Networks:\nnet\n');
    await engine.mustDocker(['volume', 'rm', 'vol']);
    expect((await engine.docker(['node', 'ls'])).stderr).toContain('This node is not a swarm manager');
  });
});

const file = (name: string, content: string): TarInput => ({
  name,
  type: 'file',
  mode: 0o644,
  content: Buffer.from(content),
});

function archive(entries: readonly TarInput[]): Promise<Buffer> {
  return buffer(writeTar(entries));
}
