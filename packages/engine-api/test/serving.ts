import { once } from 'node:events';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import Dockerode from 'dockerode';
import { createEngineApi, type EngineApiOptions } from '../src/index.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface ServedApi extends AsyncDisposable {
  readonly docker: Dockerode;
  call(
    method: string,
    path: string,
    options?: { readonly body?: string | Buffer; readonly headers?: Record<string, string> },
  ): Promise<Answer>;
  connect(): Promise<Socket>;
}

/** Serves an API on a port of the loopback. */
export async function serve(options: EngineApiOptions): Promise<ServedApi> {
  const api = await createEngineApi(options);
  api.server.listen(0, '127.0.0.1');
  await once(api.server, 'listening');
  const { port } = api.server.address() as AddressInfo;
  return {
    docker: new Dockerode({ protocol: 'http', host: '127.0.0.1', port }),
    call: (method, path, { body, headers = {} } = {}) =>
      new Promise((resolve, reject) => {
        const sent = httpRequest({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
          });
        });
        sent.on('error', reject);
        sent.end(body);
      }),
    async connect() {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      await once(socket, 'connect');
      return socket;
    },
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
}
