export * from './console-socket.ts';
export * from './terminal.ts';
