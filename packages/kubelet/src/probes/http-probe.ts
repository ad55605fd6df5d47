import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Clock } from '@wherry/base';
import { dialFailure, failure, outputLimit, type ProbeResult, success } from './probe-result.ts';

/** An HTTP GET with the address already found. */
export interface HttpQuery {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly timeoutMs: number;
}

/** Sends one GET on a connection of its own; 200 … 399 is success. Certificates are not checked (as upstream). The body is read up to 10 KiB. */
export function httpProbe(query: HttpQuery, clock: Clock): Promise<ProbeResult> {
  const host = query.host.includes(':') ? `[${query.host}]` : query.host;
  const path = query.path.startsWith('/') ? query.path : `/${query.path}`;
  const url = `${query.scheme}://${host}:${query.port}${path}`;
  const headers: Record<string, string> = { 'User-Agent': 'kube-probe/1.36', Accept: '*/*', Connection: 'close' };
  for (const { name, value } of query.headers) headers[name] = value;
  return new Promise((resolve) => {
    const send = query.scheme === 'https' ? requestHttps : requestHttp;
    let request: ReturnType<typeof send>;
    const end = (result: ProbeResult): void => {
      timer[Symbol.dispose]();
      request?.destroy();
      resolve(result);
    };
    const timer = clock.after(query.timeoutMs, () =>
      end(
        failure(
          `Get ${JSON.stringify(url)}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
        ),
      ),
    );
    const options = {
      host: query.host,
      port: query.port,
      path,
      headers,
      agent: false as const,
      rejectUnauthorized: false,
    };
    try {
      request = send(options, (response) => {
        const status = response.statusCode ?? 0;
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > outputLimit) end(verdict(status));
        });
        response.on('end', () => end(verdict(status)));
        response.on('error', (error) => end(failure(`Get ${JSON.stringify(url)}: ${error.message}`)));
      });
    } catch (error) {
      // A header or path that Node refuses to send.
      timer[Symbol.dispose]();
      resolve({ outcome: 'failure', output: `Get ${JSON.stringify(url)}: ${(error as Error).message}` });
      return;
    }
    request.on('error', (error) =>
      end(failure(`Get ${JSON.stringify(url)}: ${dialFailure(query.host, query.port, error)}`)),
    );
    request.end();
  });
}

function verdict(status: number): ProbeResult {
  return status >= 200 && status < 400 ? success() : failure(`HTTP probe failed with statuscode: ${status}`);
}
