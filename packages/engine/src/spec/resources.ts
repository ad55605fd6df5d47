import { statSync } from 'node:fs';
import { WherryError } from '@wherry/base';
import { type CgroupFeatures, numbersOfDevice } from '@wherry/linux';
import type { BlockIoSpec, ResourcesSpec } from '@wherry/oci';
import type { BlockDeviceValue, ExtendedResources } from '@wherry/runtime';

/**
 * Resources in the words of the OCI specification, without devices. What the kernel has no setting for is left out,
 * as docker does. What CRI calls `unified` is for hosts with cgroups of version 2 alone; the runtimes refuse it on
 * others.
 */
export function resourcesSpec(
  resources: ExtendedResources,
  cgroupVersion: 1 | 2,
  features: CgroupFeatures,
): ResourcesSpec {
  const parts = { memory: memorySpec(resources, features), cpu: cpuSpec(resources, features) };
  return {
    ...(Object.keys(parts.memory).length === 0 ? {} : { memory: parts.memory }),
    ...(Object.keys(parts.cpu).length === 0 ? {} : { cpu: parts.cpu }),
    ...blockIoSpec(resources, features),
    ...(positive(resources.pidsLimit) === undefined ? {} : { pids: { limit: resources.pidsLimit as number } }),
    ...given('hugepageLimits', resources.hugepageLimits?.length ? resources.hugepageLimits : undefined),
    ...given('unified', cgroupVersion === 2 ? resources.unified : undefined),
  };
}

/**
 * What the engine sets by itself once the cgroup is there: crun knows the weights by the name alone that they have
 * without the BFQ scheduler. `undefined` for nothing.
 */
export function ownLimits(
  { blockIoWeight, blockIoWeightDevices }: ExtendedResources,
  features: CgroupFeatures,
): ExtendedResources | undefined {
  if (!features.blockIoWeight || (positive(blockIoWeight) ?? blockIoWeightDevices?.length ?? 0) === 0) return undefined;
  return { blockIoWeight, blockIoWeightDevices };
}

function memorySpec(resources: ExtendedResources, features: CgroupFeatures): NonNullable<ResourcesSpec['memory']> {
  const { memorySwappiness: swappiness } = resources;
  return {
    ...given('limit', positive(resources.memoryLimitBytes)),
    ...given('swap', features.swapLimit ? positive(resources.memorySwapLimitBytes) : undefined),
    ...given('reservation', positive(resources.memoryReservationBytes)),
    ...given('swappiness', features.swappiness && swappiness !== undefined && swappiness >= 0 ? swappiness : undefined),
    ...given('disableOOMKiller', features.oomKillDisable && resources.oomKillDisable === true ? true : undefined),
  };
}

function cpuSpec(resources: ExtendedResources, features: CgroupFeatures): NonNullable<ResourcesSpec['cpu']> {
  const { cpuQuota } = resources;
  const realtime = (value: number | undefined): number | undefined =>
    features.cpuRealtime ? positive(value) : undefined;
  return {
    ...given('shares', positive(resources.cpuShares)),
    ...given('quota', cpuQuota === 0 ? undefined : cpuQuota),
    ...given('period', positive(resources.cpuPeriod)),
    ...given('realtimePeriod', realtime(resources.cpuRealtimePeriod)),
    ...given('realtimeRuntime', realtime(resources.cpuRealtimeRuntime)),
    ...given('cpus', resources.cpusetCpus || undefined),
    ...given('mems', resources.cpusetMems || undefined),
  };
}

/** Without the weights: see `ownLimits`. */
function blockIoSpec({ throttle }: ExtendedResources, features: CgroupFeatures): { readonly blockIO?: BlockIoSpec } {
  const rates = (values: readonly BlockDeviceValue[] | undefined) =>
    values === undefined || values.length === 0 || !features.blockIoThrottle
      ? undefined
      : values.map(({ path, value }) => ({ ...blockDevice(path), rate: value }));
  const blockIO: BlockIoSpec = {
    ...given('throttleReadBpsDevice', rates(throttle?.readBps)),
    ...given('throttleWriteBpsDevice', rates(throttle?.writeBps)),
    ...given('throttleReadIOPSDevice', rates(throttle?.readIops)),
    ...given('throttleWriteIOPSDevice', rates(throttle?.writeIops)),
  };
  return Object.keys(blockIO).length === 0 ? {} : { blockIO };
}

function blockDevice(path: string): { readonly major: number; readonly minor: number } {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) throw new WherryError('notFound', `there is no device ${path}`);
  return numbersOfDevice(status.rdev);
}

const positive = (value: number | undefined): number | undefined =>
  value !== undefined && value > 0 ? value : undefined;

function given<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V };
}
