import { connect } from 'node:net';
import type { Clock } from '@wherry/base';
import { dialFailure, failure, type ProbeResult, success } from './probe-result.ts';

/** Success when the port takes a connection in time. */
export function tcpProbe(host: string, port: number, timeoutMs: number, clock: Clock): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (result: ProbeResult): void => {
      timer[Symbol.dispose]();
      socket.destroy();
      resolve(result);
    };
    const timer = clock.after(timeoutMs, () => end(failure(`dial tcp ${host}:${port}: i/o timeout`)));
    socket.on('connect', () => end(success()));
    socket.on('error', (error) => end(failure(dialFailure(host, port, error))));
  });
}
