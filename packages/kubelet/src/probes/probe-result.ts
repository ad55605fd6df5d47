/** What one run of a probe found. `error`: the probe itself could not run; it changes nothing. */
export interface ProbeResult {
  readonly outcome: 'success' | 'failure' | 'error';
  readonly output: string;
}

export const success = (output = ''): ProbeResult => ({ outcome: 'success', output });
export const failure = (output: string): ProbeResult => ({ outcome: 'failure', output });

/** The largest output that is kept (upstream's 10 KiB). */
export const outputLimit = 10 * 1024;

/** A failed dial in Go's words. */
export function dialFailure(host: string, port: number, error: unknown): string {
  const code = (error as { code?: string }).code ?? '';
  const words: Record<string, string> = {
    ECONNREFUSED: 'connect: connection refused',
    EHOSTUNREACH: 'connect: no route to host',
    ENETUNREACH: 'connect: network is unreachable',
    ETIMEDOUT: 'i/o timeout',
    ECONNRESET: 'read: connection reset by peer',
  };
  return `dial tcp ${host.includes(':') ? `[${host}]` : host}:${port}: ${words[code] ?? String((error as Error).message)}`;
}
