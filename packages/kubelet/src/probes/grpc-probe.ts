import { connect } from 'node:http2';
import type { Clock } from '@wherry/base';
import { failure, type ProbeResult, success } from './probe-result.ts';

const statuses = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/** One message of `grpc.health.v1.HealthCheckRequest` in gRPC's frame: flag, length, field 1 = service. */
export function healthRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const length: number[] = [];
  for (let rest = name.length; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...length]), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The status of a `HealthCheckResponse` (field 1, an enumeration); `undefined` when it does not parse. */
export function healthStatus(body: Buffer): string | undefined {
  if (body.length < 5 || body[0] !== 0 || body.length < 5 + body.readUInt32BE(1)) return undefined;
  if (body.readUInt32BE(1) === 0) return statuses[0];
  return body[5] === 0x08 ? statuses[body[6] as number] : undefined;
}

/** Health check of gRPC (`grpc.health.v1.Health/Check`) over HTTP/2 without TLS. */
export function grpcProbe(
  host: string,
  port: number,
  service: string,
  timeoutMs: number,
  clock: Clock,
): Promise<ProbeResult> {
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return new Promise((resolve) => {
    const session = connect(`http://${address}`);
    const chunks: Buffer[] = [];
    let size = 0;
    const end = (result: ProbeResult): void => {
      timer[Symbol.dispose]();
      session.destroy();
      resolve(result);
    };
    const timer = clock.after(timeoutMs, () =>
      end(failure(`timeout: health rpc did not complete within ${timeoutMs / 1000}s`)),
    );
    session.on('error', () =>
      end(failure(`error: failed to connect service at "${address}": connection error: ${address} is not reachable`)),
    );
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'kube-probe/1.36',
    });
    let code: string | undefined;
    let words: string | undefined;
    const note = (headers: Record<string, unknown>): void => {
      if (headers['grpc-status'] !== undefined) code = String(headers['grpc-status']);
      if (headers['grpc-message'] !== undefined) words = String(headers['grpc-message']);
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= 1024) chunks.push(chunk);
    });
    stream.on('error', () => undefined); // the session reports it
    stream.on('end', () => {
      const status = healthStatus(Buffer.concat(chunks));
      if (code !== undefined && code !== '0')
        end(
          failure(
            code === '12'
              ? 'error: this server does not implement the grpc health protocol (grpc.health.v1.Health)'
              : `error: health rpc failed: rpc error: code ${code} desc = ${words ?? ''}`,
          ),
        );
      else if (status === 'SERVING') end(success(`service healthy (responded with "SERVING")`));
      else end(failure(`service unhealthy (responded with "${status ?? 'nothing'}")`));
    });
    stream.end(healthRequest(service));
  });
}
