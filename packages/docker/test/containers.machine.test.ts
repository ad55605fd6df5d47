import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../src/index.ts';
import { type DockerMachine, dockerMachine } from './docker-machine.ts';

let machine: DockerMachine;
const never = new AbortController().signal;

beforeAll(async () => {
  machine = await dockerMachine();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

interface RunResult {
  readonly id: string;
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function body(command: readonly string[], host: JsonObject = {}, config: JsonObject = {}): JsonObject {
  return {
    Image: 'busybox',
    Cmd: command,
    AttachStdout: true,
    AttachStderr: true,
    ...config,
    HostConfig: { NetworkMode: 'none', ...host },
  };
}

/** As `docker run` does it: create, attach, wait, start. */
async function run(command: readonly string[], host: JsonObject = {}, config: JsonObject = {}): Promise<RunResult> {
  const { containers } = machine;
  const { Id: id } = await containers.create(body(command, host, config), {});
  const attached = await containers.attach(id, { stream: true, logs: false, stdin: false, stdout: true, stderr: true });
  const { result } = await containers.wait(id, host.AutoRemove === true ? 'removed' : 'next-exit', never);
  const read = async (stream: NodeJS.ReadableStream | undefined): Promise<string> => {
    let text = '';
    for await (const chunk of stream ?? []) text += String(chunk);
    return text;
  };
  const output = Promise.all([read(attached.session.stdout), read(attached.session.stderr)]);
  await containers.start(id);
  const [out, err] = await output;
  const { StatusCode: code } = await result;
  await attached[Symbol.asyncDispose]();
  return { id, code, out, err };
}

test('runs a command, gives its output and exit code, and removes it', async () => {
  const { id, code, out, err } = await run(['sh', '-c', 'echo out; echo err >&2; exit 3'], { AutoRemove: true });
  expect({ code, out, err }).toEqual({ code: 3, out: 'out\n', err: 'err\n' });
  await expect(machine.containers.inspect(id, { size: false })).rejects.toThrow(`No such container: ${id}`);
});

test('says in the words of runc what cannot run', async () => {
  const { containers } = machine;
  const { Id: id } = await containers.create(body(['nosuchcmd']), { name: 'cannot' });
  await expect(containers.start(id)).rejects.toMatchObject({
    code: 'invalid',
    message:
      'failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nosuchcmd": executable file not found in $PATH: unknown',
  });
  expect((await containers.inspect(id, { size: false })).State).toMatchObject({ Status: 'created', ExitCode: 127 });
  await containers.remove('cannot', { force: false, volumes: false, link: false });
});
