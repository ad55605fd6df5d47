export * from './rootfs.ts';
