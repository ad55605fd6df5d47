import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, type RequestOptions, request } from 'node:https';
import { parse } from 'yaml';

/** A plain JSON client over HTTPS: exactly `sockets` keep-alive connections, nothing between it and the wire. */
export interface ApiConnection {
  call(method: string, path: string, body?: unknown, contentType?: string): Promise<{ status: number; bytes: Buffer }>;
  /** As `call`, decoded; fails for a status of 300 and above. */
  json<T>(method: string, path: string, body?: unknown, contentType?: string): Promise<T>;
  /** The response of a request as a stream: for watches. */
  stream(path: string): Promise<IncomingMessage>;
  close(): void;
}

interface Kubeconfig {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string };
  }[];
  readonly users: readonly {
    readonly user: { readonly 'client-certificate-data': string; readonly 'client-key-data': string };
  }[];
}

const decode = (data: string): Buffer => Buffer.from(data, 'base64');

export async function connect(kubeconfigPath: string, sockets: number): Promise<ApiConnection> {
  const { clusters, users } = parse(await readFile(kubeconfigPath, 'utf8')) as Kubeconfig;
  const { cluster } = clusters[0]!;
  const { user } = users[0]!;
  const tls = {
    ca: decode(cluster['certificate-authority-data']),
    cert: decode(user['client-certificate-data']),
    key: decode(user['client-key-data']),
  };
  return connectTo(new URL(cluster.server), sockets, tls);
}

/** The same client against any HTTPS server: the raw floor speaks to it, too. */
export function connectTo(
  server: URL,
  sockets: number,
  tls: { ca: Buffer; cert?: Buffer; key?: Buffer },
): ApiConnection {
  const agent = new Agent({ keepAlive: true, maxSockets: sockets, scheduling: 'fifo', ...tls });
  const streams = new Agent({ keepAlive: false, ...tls });
  const base: RequestOptions = { host: server.hostname, port: server.port };
  const open = (options: RequestOptions, body?: string): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const outgoing = request({ ...base, ...options }, resolve);
      outgoing.once('error', reject);
      outgoing.end(body);
    });
  const call: ApiConnection['call'] = async (method, path, body, contentType = 'application/json') => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      accept: 'application/json',
      ...(text === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
    };
    const response = await open({ agent, method, path, headers }, text);
    const parts: Buffer[] = [];
    for await (const part of response) parts.push(part as Buffer);
    return { status: response.statusCode ?? 0, bytes: Buffer.concat(parts) };
  };
  return {
    call,
    async json<T>(method: string, path: string, body?: unknown, contentType?: string): Promise<T> {
      const { status, bytes } = await call(method, path, body, contentType);
      if (status >= 300) throw new Error(`${method} ${path}: ${status} ${bytes.toString().slice(0, 400)}`);
      return JSON.parse(bytes.toString()) as T;
    },
    stream: (path) => open({ agent: streams, method: 'GET', path, headers: { accept: 'application/json' } }),
    close() {
      agent.destroy();
      streams.destroy();
    },
  };
}

/** Calls `work(i)` for `total` numbers from `workers` loops at once; gives calls per second. */
export async function rate(workers: number, total: number, work: (index: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const began = performance.now();
  await Promise.all(
    Array.from({ length: workers }, async () => {
      while (next < total) await work(next++);
    }),
  );
  return (total / (performance.now() - began)) * 1000;
}

/** The JSON lines of a watch, as they come. */
export async function* watchLines(response: IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    yield* lines;
  }
}
