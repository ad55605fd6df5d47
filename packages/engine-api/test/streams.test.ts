import { once } from 'node:events';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { deferred, WherryError } from '@wherry/base';
import type { AttachedStreams, DockerContainers } from '@wherry/docker';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { FrameReader } from '../src/streams/frames.ts';
import { fakeContainers, fakeOptions, fakeStreams } from './fake-parts.ts';
import { type ServedApi, serve } from './serving.ts';

/** Everything that comes until the other side ends. */
async function rest(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += (chunk as Buffer).toString('latin1');
  return text;
}

async function until(socket: Socket, wanted: string): Promise<string> {
  let text = '';
  while (!text.includes(wanted)) text += ((await once(socket, 'data'))[0] as Buffer).toString('latin1');
  return text;
}

function framesOf(text: string): [string, string][] {
  const reader = new FrameReader();
  return reader.push(Buffer.from(text, 'latin1')).map(({ stream, content }) => [stream, content.toString()]);
}

async function serveAttach(tty: boolean): Promise<ReturnType<typeof fakeStreams> & { readonly api: ServedApi }> {
  const fake = fakeStreams(tty);
  const attach = async (): Promise<typeof fake.streams> => fake.streams;
  return { ...fake, api: await serve(fakeOptions({ containers: fakeContainers({ attach }) })) };
}

const upgrade = 'Connection: Upgrade\r\nUpgrade: tcp\r\n';

describe('attach', () => {
  it('upgrades, sends frames of both streams and half-closes both ways', async () => {
    const { api, stdin, stdout, stderr } = await serveAttach(false);
    await using _ = api;
    const socket = await api.connect();
    socket.write(
      `POST /v1.45/containers/web/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\n${upgrade}\r\nearly `,
    );
    const head = await until(socket, '\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1\.1 101 UPGRADED\r\n/);
    expect(head).toContain(
      'Content-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n',
    );
    socket.end('late');
    let given = '';
    for await (const chunk of stdin) given += String(chunk);
    expect(given).toBe('early late');
    stdout.write('out');
    await once(socket, 'readable');
    stderr.end('err');
    stdout.end();
    expect(framesOf(await rest(socket))).toEqual([
      ['stdout', 'out'],
      ['stderr', 'err'],
    ]);
  });

  it('says raw for a terminal and for versions before 1.42, whose output still has frames', async () => {
    for (const [tty, version, output] of [
      [true, '1.45', 'x'],
      [false, '1.41', '\x01\0\0\0\0\0\0\x01x'],
    ] as const) {
      const { api, stdout, stderr } = await serveAttach(tty);
      await using _ = api;
      const socket = await api.connect();
      socket.write(`POST /v${version}/containers/web/attach HTTP/1.1\r\nHost: d\r\n${upgrade}\r\n`);
      stdout.end('x');
      stderr.end();
      const text = await rest(socket);
      expect(text).toContain('Content-Type: application/vnd.docker.raw-stream');
      expect(text.endsWith(`\r\n\r\n${output}`)).toBe(true);
    }
  });

  it('takes input on a plain 200, past the body that dockerode sends', async () => {
    const { api, stdin, stdout, stderr } = await serveAttach(false);
    await using _ = api;
    const stream = (await api.docker
      .getContainer('web')
      .attach({ stream: true, stdin: true, stdout: true })) as NodeJS.ReadWriteStream;
    stream.write('typed');
    expect(String((await once(stdin, 'data'))[0])).toBe('typed');
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    stdout.end('answer');
    stderr.end();
    await once(stream, 'end');
    expect(framesOf(text)).toEqual([['stdout', 'answer']]);
  });

  it('hijacks for dockerode and disposes the streams when output reaches nobody', async () => {
    const { api, stdin, stdout, disposed } = await serveAttach(true);
    await using _ = api;
    const stream = (await api.docker
      .getContainer('web')
      .attach({ stream: true, stdin: true, hijack: true })) as unknown as Socket;
    stream.write('typed');
    expect(String((await once(stdin, 'data'))[0])).toBe('typed');
    stream.destroy();
    // As long as nothing is written, one who is gone looks like one who has nothing more to say.
    await once(stdin, 'end');
    const chatter = setInterval(() => stdout.write('output'), 1);
    await disposed;
    clearInterval(chatter);
  });

  it('waits for a slow client', async () => {
    const { api, stdout, stderr } = await serveAttach(true);
    await using _ = api;
    const socket = await api.connect();
    socket.write(`POST /containers/web/attach HTTP/1.1\r\nHost: d\r\n${upgrade}\r\n`);
    await until(socket, '\r\n\r\n');
    socket.pause();
    const piece = Buffer.alloc(256 * 1024, 'x');
    let written = 0;
    while (stdout.write(piece) || written < 2 * piece.length) {
      written += piece.length;
      await new Promise(setImmediate);
      if (written > 256 * piece.length) throw new Error('nothing holds the container back');
    }
    stdout.end();
    stderr.end();
    socket.resume();
    expect((await rest(socket)).length).toBe(written + piece.length);
  });

  it('refuses before it upgrades', async () => {
    const attach = async (): Promise<never> => {
      throw new WherryError('notFound', 'No such container: none');
    };
    await using api = await serve(fakeOptions({ containers: fakeContainers({ attach }) }));
    const socket = await api.connect();
    socket.write(`POST /containers/none/attach HTTP/1.1\r\nHost: d\r\n${upgrade}\r\n`);
    const text = await rest(socket);
    // In words, as on a connection that has left HTTP.
    expect(text).toBe(
      'HTTP/1.1 404 Not Found\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nNo such container: none\r\n',
    );
  });

  it('stays for input alone until that is over', async () => {
    const { streams, stdin } = fakeStreams(false);
    const session = { ...streams.session, stdout: undefined, stderr: undefined };
    const attach = async (): Promise<typeof streams> => ({ ...streams, session });
    await using api = await serve(fakeOptions({ containers: fakeContainers({ attach }) }));
    const socket = await api.connect();
    socket.write(`POST /containers/web/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: d\r\n${upgrade}\r\n`);
    await until(socket, '\r\n\r\n');
    socket.end('typed');
    let typed = '';
    for await (const chunk of stdin) typed += String(chunk);
    expect(typed).toBe('typed');
    expect(await rest(socket)).toBe('');
  });

  it('serves a WebSocket', async () => {
    const { api, stdin, stdout, stderr } = await serveAttach(false);
    await using _ = api;
    const socket = await api.connect();
    const { remotePort } = socket;
    socket.destroy();
    const client = new WebSocket(`ws://127.0.0.1:${remotePort}/v1.45/containers/web/attach/ws?stream=1&stdin=1`);
    await once(client, 'open');
    client.send('typed');
    expect(String((await once(stdin, 'data'))[0])).toBe('typed');
    stdout.write('answer');
    expect(String((await once(client, 'message'))[0])).toBe('answer');
    stdout.end();
    stderr.end();
    await once(client, 'close');
  });
});

describe('the server', () => {
  it('outlives requests that are none', async () => {
    await using api = await serve(fakeOptions());
    for (const request of [
      'GET /_ping HTTP/1.1\r\n\r\n',
      'BOGUS\r\n\r\n',
      'GET /_ping HTTP/1.1\r\nHost: d\r\nExpect: much\r\n\r\n',
      'GET /_ping HTTP/9.9\r\n\r\n',
      'GET /_ping\r\n\r\n',
      `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: d\r\n\r\n`,
    ]) {
      const socket = await api.connect();
      socket.on('error', () => undefined);
      socket.end(request);
      expect(await rest(socket)).toMatch(/^HTTP\/1\.1 (?:4\d\d|200|501) /);
    }
    expect((await api.call('GET', '/_ping')).text).toBe('OK');
  });
});

describe('exec', () => {
  it('reads its body off the connection, and then the input', async () => {
    const { streams, stdin, stdout, stderr } = fakeStreams(false);
    const asked: unknown[] = [];
    const startExec: DockerContainers['startExec'] = async (id, options) => {
      asked.push([id, options]);
      return streams;
    };
    await using api = await serve(fakeOptions({ containers: fakeContainers({ startExec }) }));
    const socket = await api.connect();
    const body = '{"Detach":false,"Tty":true,"ConsoleSize":[24,80]}';
    socket.write(
      `POST /v1.45/exec/e1/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${upgrade}\r\n${body.slice(0, 9)}`,
    );
    socket.write(`${body.slice(9)}in`);
    expect(String((await once(stdin, 'data'))[0])).toBe('in');
    expect(asked).toEqual([['e1', { detach: false, tty: true, size: { height: 24, width: 80 } }]]);
    stdout.end('o');
    stderr.end();
    const [head = '', output] = (await rest(socket)).split('\r\n\r\n');
    expect(head.split('\r\n').map((line) => line.split(':')[0])).toEqual([
      'HTTP/1.1 101 UPGRADED',
      'Content-Type',
      'Connection',
      'Upgrade',
      'Api-Version',
      'Docker-Experimental',
      'Ostype',
      'Server',
    ]);
    // Without frames, whatever the command has: the start said that it is on a terminal.
    expect(output).toBe('o');
  });

  it.each(['Tty', 'Detach'])('refuses a %s that is no truth value before it leaves HTTP', async (name) => {
    await using api = await serve(fakeOptions());
    const socket = await api.connect();
    const body = JSON.stringify({ [name]: 'yes' });
    socket.write(
      `POST /v1.45/exec/e1/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${upgrade}\r\n${body}`,
    );
    const answer = await rest(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain(`cannot unmarshal string into Go struct field ExecStartCheck.${name} of type bool`);
  });

  it('sends the head before the command starts, whose output would be lost in one piece with it', async () => {
    const start = deferred<AttachedStreams>();
    const startExec = (): Promise<AttachedStreams> => start.promise;
    await using api = await serve(fakeOptions({ containers: fakeContainers({ startExec }) }));
    const socket = await api.connect();
    socket.write(
      `POST /exec/e1/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 2\r\n${upgrade}\r\n{}`,
    );
    expect(await until(socket, '\r\n\r\n')).toMatch(/^HTTP\/1\.1 101 UPGRADED\r\n/);
    const { streams, stdout, stderr } = fakeStreams(false);
    start.resolve(streams);
    stdout.end('o');
    stderr.end();
    expect(framesOf(await rest(socket))).toEqual([['stdout', 'o']]);
  });

  it('tells a command of input that ends before it is started', async () => {
    const { stdin, stdout, stderr, streams } = fakeStreams(false);
    const [begun, ended] = [deferred<void>(), deferred<void>()];
    const startExec = async (): Promise<AttachedStreams> => {
      begun.resolve();
      await ended.promise;
      return streams;
    };
    const containers = fakeContainers({ checkExec: async () => undefined, startExec });
    await using api = await serve(fakeOptions({ containers }));
    const socket = await api.connect();
    socket.end(
      `POST /exec/e1/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 2\r\n${upgrade}\r\n{}`,
    );
    await begun.promise;
    // The half-close has come once the server has read all there is.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    ended.resolve();
    for await (const _ of stdin) throw new Error('nothing was sent');
    stdout.end();
    stderr.end();
    expect(await rest(socket)).toMatch(/^HTTP\/1\.1 101 UPGRADED\r\n/);
  });

  it('refuses on HTTP what cannot start now', async () => {
    const checkExec = async (): Promise<never> => {
      throw new WherryError('conflict', 'Container c is paused, unpause the container before exec');
    };
    await using api = await serve(fakeOptions({ containers: fakeContainers({ checkExec }) }));
    const refused = await api.call('POST', '/exec/e1/start', {
      body: '{}',
      headers: { 'Content-Type': 'application/json' },
    });
    expect(refused.status).toBe(409);
  });

  it('tells on the stream why a command could not run', async () => {
    const startExec = async (): Promise<never> => {
      throw new WherryError('invalid', 'OCI runtime exec failed');
    };
    await using api = await serve(fakeOptions({ containers: fakeContainers({ startExec }) }));
    const stream = await api.docker.getExec('e1').start({ hijack: true, stdin: true });
    let text = '';
    for await (const chunk of stream) text += (chunk as Buffer).toString('latin1');
    expect(framesOf(text)).toEqual([['stdout', 'OCI runtime exec failed\r\n']]);
    const detached = await api.call('POST', '/exec/e1/start', {
      body: '{"Detach":true}',
      headers: { 'Content-Type': 'application/json' },
    });
    expect([detached.status, detached.text]).toEqual([400, '{"message":"OCI runtime exec failed"}\n']);
  });
});

describe('streamed answers', () => {
  it('sends the headers of a wait before the container exits', async () => {
    const exit = deferred<{ StatusCode: number }>();
    const wait = async (): Promise<{ result: typeof exit.promise }> => ({ result: exit.promise });
    await using api = await serve(fakeOptions({ containers: fakeContainers({ wait }) }));
    const socket = await api.connect();
    socket.write('POST /v1.45/containers/web/wait?condition=removed HTTP/1.1\r\nHost: d\r\n\r\n');
    expect(await until(socket, '\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 OK/);
    exit.resolve({ StatusCode: 3 });
    expect(await until(socket, '0\r\n\r\n')).toContain('{"StatusCode":3}\n');
    socket.destroy();
    const refused = await api.call('POST', '/containers/web/wait?condition=x');
    expect([refused.status, refused.text]).toEqual([400, '{"message":"invalid condition: \\"x\\""}\n']);
  });

  it('ends a followed log when the client goes', async () => {
    const ended = deferred();
    const source = new PassThrough();
    const seen: unknown[] = [];
    const logs: DockerContainers['logs'] = async (_name, options) => {
      seen.push(options);
      options.signal?.addEventListener('abort', () => {
        source.end();
        ended.resolve();
      });
      return { tty: false, output: source };
    };
    await using api = await serve(fakeOptions({ containers: fakeContainers({ logs }) }));
    const socket = await api.connect();
    socket.write('GET /containers/web/logs?follow=1&stdout=1&tail=5&since=12.5 HTTP/1.1\r\nHost: d\r\n\r\n');
    source.write('line');
    expect(await until(socket, 'line')).toContain('Content-Type: application/vnd.docker.multiplexed-stream');
    expect(seen).toMatchObject([{ follow: true, stdout: true, stderr: false, tail: 5, since: 12_500 }]);
    socket.destroy();
    await ended.promise;
  });

  it('answers a client that has ended its side, and goes on for none without an end', async () => {
    const inspected = deferred();
    const inspect: DockerContainers['inspect'] = async () => {
      await inspected.promise;
      return { Id: 'i', Name: '/web' };
    };
    const logs: DockerContainers['logs'] = async (_name, { signal }) => {
      const output = new PassThrough();
      output.write('line');
      signal?.addEventListener('abort', () => output.end());
      return { tty: true, output };
    };
    await using api = await serve(fakeOptions({ containers: fakeContainers({ inspect, logs }) }));
    const one = await api.connect();
    one.end('GET /containers/web/json HTTP/1.1\r\nHost: d\r\n\r\n');
    await once(one, 'finish');
    const other = await api.connect();
    other.end('GET /containers/web/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n');
    expect(await rest(other)).toMatch(/^HTTP\/1\.1 200 [\s\S]*\r\n0\r\n\r\n$/);
    inspected.resolve();
    expect(await rest(one)).toMatch(/^HTTP\/1\.1 200 [\s\S]*"Id":"i"/);
  });

  it('tells of a failure after the headers by cutting the answer short', async () => {
    async function* output(): AsyncGenerator<Buffer> {
      yield Buffer.from('first');
      throw new Error('disk');
    }
    const logs: DockerContainers['logs'] = async () => ({ tty: true, output: output() });
    await using api = await serve(fakeOptions({ containers: fakeContainers({ logs }) }));
    await expect(api.call('GET', '/containers/web/logs?stdout=1')).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('ends everything when it is disposed', async () => {
    const { api, disposed } = await serveAttach(true);
    const socket = await api.connect();
    socket.write(`POST /containers/web/attach HTTP/1.1\r\nHost: d\r\n${upgrade}\r\n`);
    await until(socket, '\r\n\r\n');
    await api[Symbol.asyncDispose]();
    await disposed;
    await rest(socket).catch(() => undefined);
  });
});
