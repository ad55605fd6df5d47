export * from './addresses.ts';
export * from './connections.ts';
export * from './links.ts';
export * from './netlink-events.ts';
export type { NetlinkMessage } from './netlink-message.ts';
export * from './netlink-socket.ts';
export * from './routes.ts';
