export * from './channel-socket.ts';
export * from './farewell.ts';
export * from './spdy/connection.ts';
export * from './websocket.ts';
