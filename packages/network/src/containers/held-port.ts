import { codeOf, type Logger, messageOf, WherryError } from '@wherry/base';
import { dialInNetns, holdPort, listenInNetns } from '@wherry/linux';
import type { PublishedPort } from '../container-networks.ts';

/** Where a published port leads at the moment. */
export type TargetOf = () => { readonly address: string; readonly port: number } | undefined;

/** What holding a port depends on. */
export interface PortHolder {
  readonly netns: string | undefined;
  readonly log: Logger;
}

const connectTimeoutMs = 10_000;

/**
 * Takes a port of the machine so that nobody else can, and so that it is no one else's. Rules lead packets past
 * the socket; what comes in spite of them over TCP (from `::1`, over IPv6 to a container without it, while
 * somebody flushed the rules) is carried by this process. Throws `conflict` in docker's words.
 */
export async function holdPublishedPort(
  { netns, log }: PortHolder,
  { protocol, hostIp, hostPort }: PublishedPort,
  target: TargetOf,
): Promise<AsyncDisposable> {
  try {
    if (protocol !== 'TCP') {
      const held = holdPort(netns, hostIp, hostPort, protocol);
      return { [Symbol.asyncDispose]: async () => held[Symbol.dispose]() };
    }
    const clients = new Set<Disposable>();
    const server = await listenInNetns(netns, hostIp, hostPort, (client) => {
      const entry = { [Symbol.dispose]: () => void client.destroy() };
      clients.add(entry);
      client.on('close', () => clients.delete(entry));
      client.on('error', () => client.destroy());
      const to = target();
      if (to === undefined) return void client.destroy();
      dialInNetns(netns, to.address, to.port, { timeoutMs: connectTimeoutMs, allowHalfOpen: true }).then(
        (container) => {
          container.on('error', () => client.destroy());
          container.on('close', () => client.destroy());
          client.on('close', () => container.destroy());
          if (client.destroyed) return void container.destroy();
          client.pipe(container);
          container.pipe(client);
        },
        (error: unknown) => {
          log.debug('a published port leads nowhere', { hostPort, error: messageOf(error) });
          client.destroy();
        },
      );
    });
    return {
      async [Symbol.asyncDispose]() {
        for (const client of clients) client[Symbol.dispose]();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  } catch (error) {
    throw refusal(error, { protocol, hostIp, hostPort });
  }
}

/** Somebody has the port, on an address that covers this one or is covered by it. */
export function portInUse(port: Omit<PublishedPort, 'containerPort'>): WherryError {
  return proxyRefusal(port, 'address already in use', {});
}

/** The words of dockerd with its proxy, which it has unless told otherwise. */
function proxyRefusal(
  { protocol, hostIp, hostPort }: Omit<PublishedPort, 'containerPort'>,
  reason: string,
  options: ErrorOptions & { readonly details?: Readonly<Record<string, unknown>> },
): WherryError {
  const family = hostIp.includes(':') ? '6' : '4';
  const place = family === '6' ? `[${hostIp}]:${hostPort}` : `${hostIp}:${hostPort}`;
  const text = `Error starting userland proxy: listen ${protocol.toLowerCase()}${family} ${place}: bind: ${reason}`;
  return new WherryError('conflict', text, options);
}

function refusal(error: unknown, port: Omit<PublishedPort, 'containerPort'>): unknown {
  const errno = error instanceof WherryError ? error.details?.errno : undefined;
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: 'address already in use',
    EADDRNOTAVAIL: 'cannot assign requested address',
    EACCES: 'permission denied',
  };
  const reason = reasons[String(errno)];
  if (reason === undefined && codeOf(error) !== 'conflict') return error;
  return proxyRefusal(port, reason ?? 'address already in use', { cause: error, details: { errno } });
}
