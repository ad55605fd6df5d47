export * from './nftables.ts';
