import { open, rm, stat } from 'node:fs/promises';
import { createServer, request, type Server } from 'node:http';
import { createServer as createSocketServer, type Server as SocketServer } from 'node:net';
import { errnoOf, messageOf, WherryError } from '@wherry/base';

const socketName = 'control.sock';

/** Answers a command that another process of the same user sends; gives JSON. */
export type ControlHandler = (command: string, parameters: URLSearchParams) => Promise<unknown>;

/**
 * Holds a folder for this process and answers commands on a socket in it. A process that dies lets go: nobody
 * answers on its socket. Throws `unavailable` where another process holds it.
 */
export async function lockFolder(directory: string, handle: ControlHandler): Promise<AsyncDisposable> {
  // Two that start at once would each find the socket of a dead one; this name the kernel gives to one.
  const { dev, ino } = await stat(directory);
  const guard = await listenOn(
    createSocketServer((socket) => socket.destroy()),
    `\0wherry-registry-${dev}-${ino}`,
    directory,
  );
  try {
    const folder = await open(directory, 'r');
    try {
      // By the descriptor, because a socket's path has 107 bytes at most.
      const path = `/proc/self/fd/${folder.fd}/${socketName}`;
      if (await answers(path)) throw held(directory);
      await rm(path, { force: true });
      const server = await listenOn(controlServer(handle), path, directory);
      return {
        async [Symbol.asyncDispose]() {
          (server as Server).closeAllConnections();
          await closed(server);
          await closed(guard);
          await rm(`${directory}/${socketName}`, { force: true });
        },
      };
    } finally {
      await folder.close();
    }
  } catch (error) {
    await closed(guard);
    throw error;
  }
}

/** Sends a command to the process that holds the folder; `undefined` where nobody does. */
export async function sendCommand(
  directory: string,
  command: string,
  parameters: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const folder = await open(directory, 'r').catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (folder === undefined) return undefined;
  try {
    const path = `/${command}?${new URLSearchParams(parameters)}`;
    return await post(`/proc/self/fd/${folder.fd}/${socketName}`, path);
  } finally {
    await folder.close();
  }
}

async function post(socketPath: string, path: string): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method: 'POST' }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        if (response.statusCode === 200) resolve(JSON.parse(text) as unknown);
        else reject(new WherryError('unavailable', text));
      });
    });
    asked.on('error', (error) => {
      if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ECONNREFUSED') resolve(undefined);
      else reject(error);
    });
    asked.end();
  });
}

function controlServer(handle: ControlHandler): Server {
  return createServer((incoming, response) => {
    const url = new URL(incoming.url ?? '/', 'http://control');
    handle(url.pathname.slice(1), url.searchParams).then(
      (value) => response.end(JSON.stringify(value)),
      (error: unknown) => {
        response.statusCode = 500;
        response.end(messageOf(error));
      },
    );
  });
}

async function listenOn<T extends Server | SocketServer>(server: T, path: string, directory: string): Promise<T> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(errnoOf(error) === 'EADDRINUSE' ? held(directory) : error));
    server.listen({ path, readableAll: false, writableAll: false }, resolve);
  });
  server.unref();
  return server;
}

async function answers(socketPath: string): Promise<boolean> {
  return await post(socketPath, '/ping').then(
    (answer) => answer !== undefined,
    () => true,
  );
}

async function closed(server: Server | SocketServer): Promise<void> {
  await new Promise((resolve) => server.close(resolve));
}

function held(directory: string): WherryError {
  return new WherryError('unavailable', `another process serves the registry ${directory}`);
}
