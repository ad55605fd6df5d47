import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { badRequestError } from '@wherry/api';
import type { Connector } from '../http/handler.ts';
import type { Core } from '../pipeline/core.ts';
import { logConnector } from './log.ts';
import { type Dial, proxyConnector, proxyUpgrade } from './proxy.ts';
import { type UpgradeParts, Upgrades } from './upgrades.ts';

export interface ConnectorParts extends Omit<UpgradeParts, 'proxy'> {
  readonly dialPod: Dial | undefined;
}

/** The subresources that are streams: log, exec, attach, portforward, proxy. */
export function createConnectors(
  core: Core,
  parts: ConnectorParts,
): {
  /** By `group/resource/subresource`. */
  readonly connectors: ReadonlyMap<string, Connector>;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
} {
  const { dialPod } = parts;
  const needsUpgrade: Connector = () => {
    throw badRequestError('Upgrade request required');
  };
  const proxy = proxyConnector(core, dialPod);
  const upgrades = new Upgrades(core, {
    ...parts,
    proxy: (request, socket, head, target, path) => proxyUpgrade(core, dialPod, request, socket, head, target, path),
  });
  return {
    connectors: new Map<string, Connector>([
      ['/pods/log', logConnector(core, parts.streamsOf)],
      ['/pods/exec', needsUpgrade],
      ['/pods/attach', needsUpgrade],
      ['/pods/portforward', needsUpgrade],
      ['/pods/proxy', proxy],
      ['/services/proxy', proxy],
      ['/nodes/proxy', proxy],
    ]),
    upgrade: (request, socket, head) => upgrades.handle(request, socket, head),
  };
}
