export * from './addresses.ts';
export * from './child-links.ts';
export * from './connections.ts';
export {
  type BridgePortSettings,
  bridgePortRequest,
  bridgeRequest,
  createVeth,
  deleteLinkRequest,
  dummyRequest,
  findLink,
  hairpinRequest,
  type Link,
  type LinkSettings,
  listLinks,
  setLinkRequest,
  type VethPair,
} from './links.ts';
export * from './netlink-events.ts';
export type { NetlinkMessage } from './netlink-message.ts';
export * from './netlink-socket.ts';
export * from './routes.ts';
