import type { IncomingMessage } from 'node:http';
import { Agent, request as secureRequest } from 'node:https';
import type { ApiServer } from '@wherry/apiserver';

export interface Answer {
  readonly code: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  // Tests look into documents of any kind.
  // biome-ignore lint/suspicious/noExplicitAny: see above
  readonly json: any;
}

export interface Call {
  readonly body?: unknown;
  readonly type?: string;
  readonly accept?: string;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A client over HTTPS with keep-alive, as an administrator unless a call says otherwise. */
export function httpsClient(server: ApiServer) {
  const agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
  const { port } = server.address!;
  const options = (method: string, path: string, call: Call) => ({
    agent,
    host: '127.0.0.1',
    port,
    method,
    path,
    headers: {
      ...(call.token === '' ? {} : { authorization: `Bearer ${call.token ?? 'admin'}` }),
      ...(call.body === undefined ? {} : { 'content-type': call.type ?? 'application/json' }),
      ...(call.accept === undefined ? {} : { accept: call.accept }),
      ...call.headers,
    },
  });
  const call = (method: string, path: string, more: Call = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const outgoing = secureRequest(options(method, path, more), (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const isJson = String(answer.headers['content-type']).startsWith('application/json');
          resolve({
            code: answer.statusCode!,
            headers: answer.headers,
            text,
            json: isJson && text ? JSON.parse(text) : undefined,
          });
        });
      });
      outgoing.on('error', reject);
      const { body } = more;
      if (body === undefined) {
        outgoing.end();
        return;
      }
      const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
      outgoing.setHeader('content-length', bytes.length);
      outgoing.end(bytes);
    });
  /** Reads the first `count` events of a watch. */
  const watch = (
    path: string,
    count: number,
    more: Call = {},
  ): { readonly open: Promise<void>; readonly events: Promise<Answer['json'][]> } => {
    let opened!: () => void;
    const open = new Promise<void>((resolve) => {
      opened = resolve;
    });
    const events = new Promise<Answer['json'][]>((resolve, reject) => {
      const outgoing = secureRequest(
        { ...options('GET', path, more), agent: new Agent({ rejectUnauthorized: false }) },
        (answer) => {
          opened();
          let text = '';
          const seen: Answer['json'][] = [];
          answer.on('data', (chunk: Buffer) => {
            text += chunk.toString('utf8');
            const lines = text.split('\n');
            text = lines.pop()!;
            for (const line of lines) if (line !== '') seen.push(JSON.parse(line));
            if (seen.length < count) return;
            outgoing.destroy();
            resolve(seen);
          });
          answer.on('end', () => resolve(seen));
        },
      );
      outgoing.on('error', reject);
      outgoing.end();
    });
    return { open, events };
  };
  return {
    get: (path: string, more?: Call) => call('GET', path, more),
    post: (path: string, body: unknown, more?: Call) => call('POST', path, { ...more, body }),
    put: (path: string, body: unknown, more?: Call) => call('PUT', path, { ...more, body }),
    patch: (path: string, type: string, body: unknown, more?: Call) => call('PATCH', path, { ...more, body, type }),
    delete: (path: string, more?: Call) => call('DELETE', path, more),
    watch,
    close: () => agent.destroy(),
  };
}

export type HttpsClient = ReturnType<typeof httpsClient>;
