export { keepLowDescriptors } from './low-descriptors.ts';
export * from './nftables.ts';
export * from './watched-table.ts';
