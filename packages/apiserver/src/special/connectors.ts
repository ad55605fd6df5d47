import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { PodStreams } from '@wherry/runtime';
import type { Authorizer } from '../auth/contract.ts';
import type { Connector } from '../http/handler.ts';
import type { Users } from '../http/users.ts';
import type { Core } from '../pipeline/core.ts';

export interface ConnectorParts {
  readonly authorizer: Authorizer;
  readonly users: Users;
  readonly streamsOf: (nodeName: string) => PodStreams | undefined;
  readonly dialPod?: ((address: string, port: number) => Promise<Duplex>) | undefined;
}

/** Streams: logs, exec, attach, port-forward and proxy. */
export function createConnectors(
  core: Core,
  parts: ConnectorParts,
): {
  readonly connectors: ReadonlyMap<string, Connector>;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
} {
  void core;
  void parts;
  return {
    connectors: new Map(),
    upgrade: async (_request, socket) => {
      socket.destroy();
    },
  };
}
