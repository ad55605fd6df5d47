import { writeFile } from 'node:fs/promises';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { join } from 'node:path';
import { systemClock } from '@wherry/base';
import { ensurePki } from '@wherry/bootstrap';
import { type Answer, answerOf, type Sent, TestClient, type TestRegistry } from './test-client.ts';

/** Sends requests as streams of one connection of HTTP/2 over TLS, as Go's client does where it can. */
export class Http2Client extends TestClient implements Disposable {
  readonly session: ClientHttp2Session;

  private constructor(port: number, session: ClientHttp2Session) {
    super(port);
    this.session = session;
  }

  /** Lets a registry listen with a certificate of its own, kept in `folder`. */
  static async connect({ registry }: TestRegistry, folder: string): Promise<Http2Client> {
    const { apiserver, ca } = await ensurePki({ directory: folder, serverNames: ['127.0.0.1'], clock: systemClock });
    const tls = { certificate: join(folder, 'registry.crt'), key: join(folder, 'registry.key') };
    await writeFile(tls.certificate, apiserver.certificate);
    await writeFile(tls.key, apiserver.key);
    const { port, url } = await registry.listen({ tls });
    const session = connect(url, { ca: ca.certificate });
    session.on('error', () => undefined);
    return new Http2Client(port, session);
  }

  /** A request whose body is the caller's to send. */
  open(method: string, path: string, headers: Readonly<Record<string, string>> = {}): ClientHttp2Stream {
    return this.session.request({ ':method': method, ':path': path, ...headers }, { endStream: method === 'GET' });
  }

  override async send(method: string, path: string, { headers = {}, body }: Sent = {}): Promise<Answer> {
    const { 'Transfer-Encoding': streamed, ...others } = headers;
    const content = body === undefined ? undefined : Buffer.from(body);
    const length = content && streamed === undefined ? { 'content-length': content.length } : {};
    const stream = this.session.request(
      { ':method': method, ':path': path, ...this.headers, ...length, ...others },
      { endStream: content === undefined },
    );
    return await new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let status = 0;
      let answered = {};
      stream.on('response', ({ ':status': code, ...rest }) => {
        status = code!;
        answered = rest;
      });
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      // An answer may come before all of the body was taken: then the rest of it is not wanted.
      stream.on('error', (error) => {
        if (status === 0 || stream.rstCode !== constants.NGHTTP2_NO_ERROR) reject(error);
      });
      stream.on('close', () => resolve(answerOf(status, answered, Buffer.concat(chunks))));
      stream.end(content);
    });
  }

  [Symbol.dispose](): void {
    this.session.destroy();
  }
}
