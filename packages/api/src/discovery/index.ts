export {
  aggregatedCoreDiscovery,
  aggregatedGroupDiscovery,
  compareVersions,
  coreVersions,
  groupDocument,
  groupList,
  resourceList,
  subresourcesOf,
} from './discovery.ts';
