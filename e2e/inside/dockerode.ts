// Runs inside the test machine's network: drives the engine with dockerode, as its users do, and prints what it saw
// as JSON. Arguments: the engine's socket.
import { PassThrough, type Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import Docker from 'dockerode';

const docker = new Docker({ socketPath: process.argv[2]! });
const seen: Record<string, unknown> = {};

/** Output of a multiplexed stream, once it is at its end. */
async function demuxed(stream: Readable): Promise<{ out: string; err: string }> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, out, err);
  stream.once('end', () => {
    out.end();
    err.end();
  });
  return { out: await text(out), err: await text(err) };
}

seen.ping = String(await docker.ping());

// `docker run` as dockerode has it.
const output = new PassThrough();
const [result, ran] = (await docker.run('busybox', ['sh', '-c', 'echo ran; exit 4'], output)) as [
  { StatusCode: number },
  Docker.Container,
];
output.end();
seen.run = { code: result.StatusCode, output: await text(output) };
await ran.remove();

// Events, while a container lives.
const events = (await docker.getEvents({ filters: { container: ['web'] } })) as Readable;
const actions: string[] = [];
let rest = '';
const destroyed = new Promise<void>((resolve) => {
  events.on('data', (chunk: Buffer) => {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const { Action } = JSON.parse(line) as { Action: string };
      actions.push(Action);
      if (Action === 'destroy') resolve();
    }
  });
});

await docker.createVolume({ Name: 'data', Labels: { a: 'b' } });
const container = await docker.createContainer({
  name: 'web',
  Image: 'busybox',
  Cmd: [
    'sh',
    '-c',
    'echo to-out; echo to-err >&2; read line; echo "got $line"; trap exit TERM; while :; do sleep 0.1; done',
  ],
  OpenStdin: true,
  StdinOnce: true,
  Labels: { role: 'test' },
  HostConfig: { Binds: ['data:/data'] },
});
const attached = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
await container.start();
attached.write('a line\n');
const heard = new Promise<void>((resolve) => {
  let all = '';
  attached.on('data', (chunk: Buffer) => {
    all += String(chunk);
    if (all.includes('got a line')) resolve();
  });
});
await heard;
seen.listed = (await docker.listContainers({ filters: { label: ['role=test'] } })).map(({ Names, State }) => [
  Names,
  State,
]);

const exec = await container.exec({
  Cmd: ['sh', '-c', 'cat; echo err >&2; exit 7'],
  AttachStdin: true,
  AttachStdout: true,
  AttachStderr: true,
});
const session = await exec.start({ hijack: true, stdin: true });
session.end('through exec');
seen.exec = { ...(await demuxed(session)), code: (await exec.inspect()).ExitCode };

// Files, in both directions.
const { writeTar } = await import('@wherry/images');
const archive = writeTar([{ name: 'f', type: 'file', mode: 0o600, content: Buffer.from('copied in') }]);
await container.putArchive(await buffer(archive), { path: '/data' });
const got = await buffer((await container.getArchive({ path: '/data/f' })) as Readable);
seen.copied = got.subarray(512, 521).toString();
seen.missing = await container.getArchive({ path: '/none' }).then(
  () => 'no error',
  ({ statusCode }: { statusCode: number }) => statusCode,
);

const stats = (await container.stats({ stream: false })) as unknown as { pids_stats: { current: number } };
seen.stats = stats.pids_stats.current > 0;
seen.top = (await container.top()).Processes.length > 0;
await container.pause();
seen.paused = (await container.inspect()).State.Paused;
await container.unpause();
const waited = container.wait() as Promise<{ StatusCode: number }>;
await container.stop({ t: 5 });
seen.waited = (await waited).StatusCode;
seen.again = await container.stop().then(
  () => 'no error',
  ({ statusCode }: { statusCode: number }) => statusCode,
);
seen.logs = ((await container.logs({ stdout: true, stderr: false, tail: 2 })) as Buffer)
  .subarray(8)
  .toString('latin1')
  .split('\n')[0];
seen.removal = await docker
  .getVolume('data')
  .remove()
  .then(
    () => 'no error',
    ({ statusCode }: { statusCode: number }) => statusCode,
  );
await container.remove();
await destroyed;
(events as PassThrough).destroy();
seen.actions = actions.filter((action) => !action.startsWith('exec_'));
await docker.getVolume('data').remove();
const network = await docker.createNetwork({ Name: 'mine', Labels: { x: 'y' } });
seen.network = ((await network.inspect()) as { Driver: string }).Driver;
await network.remove();
seen.nosuch = await docker
  .getContainer('nosuch')
  .inspect()
  .then(
    () => 'no error',
    ({ statusCode, json }: { statusCode: number; json: unknown }) => [statusCode, json],
  );
process.stdout.write(JSON.stringify(seen));
