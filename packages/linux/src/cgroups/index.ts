export * from './contract.ts';
export * from './open.ts';
export { CgroupsVersion1, type Controllers } from './version-1.ts';
export { CgroupsVersion2, weightOfShares } from './version-2.ts';
