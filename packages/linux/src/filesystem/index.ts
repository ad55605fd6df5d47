export * from './beneath.ts';
export * from './mknod.ts';
export * from './mount.ts';
export * from './mount-flags.ts';
export * from './mount-table.ts';
export * from './overlay.ts';
export * from './seek.ts';
export * from './xattr.ts';
