export * from './nftables.ts';
export * from './watched-table.ts';
