import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { codeOf, type Logger, messageOf, WherryError } from '@wherry/base';
import type { Machine } from './machine.ts';

/**
 * The daemon's own small API for the command line, HTTP on a unix socket that only root can open:
 * `GET /status`, `POST /images` (an archive as the body), `POST /containers/stop` (docker's; answers when they have
 * ended), `POST /stop`.
 */
export async function serveControl(
  path: string,
  machine: Machine,
  { stop, log }: { readonly stop: () => void; readonly log: Logger },
): Promise<AsyncDisposable> {
  const load = async (request: IncomingMessage): Promise<readonly string[]> => {
    // A reader that fails destroys its source; the connection must outlive that to carry the answer.
    const archive = request.pipe(new PassThrough());
    request.once('close', () => {
      if (!request.complete) archive.destroy(new WherryError('cancelled', 'the archive was cut off'));
    });
    try {
      return await machine.loadImages(archive);
    } finally {
      request.unpipe(archive);
      // A sender that is cut off in the middle does not read the answer.
      if (!request.complete) await finished(request.resume()).catch(() => undefined);
    }
  };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const route = `${request.method} ${request.url}`;
    if (route === 'GET /status') reply(response, 200, machine.status());
    else if (route === 'POST /images') reply(response, 200, { images: await load(request) });
    else if (route === 'POST /containers/stop') {
      await machine.stopContainers();
      reply(response, 200, {});
    } else if (route === 'POST /stop') {
      response.once('finish', stop);
      reply(response, 200, {});
    } else throw new WherryError('notFound', `no such call: ${route}`);
  };
  const server = createServer({ requestTimeout: 0 }, (request, response) => {
    handle(request, response).catch((error: unknown) => {
      log.warn('control call failed', { call: `${request.method} ${request.url}`, error: messageOf(error) });
      reply(response, 400, { code: codeOf(error) ?? 'internal', message: messageOf(error) });
    });
  });
  await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await rm(path, { force: true });
    },
  };
}

function reply(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify(body));
}
