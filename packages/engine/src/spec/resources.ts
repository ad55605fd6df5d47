import { statSync } from 'node:fs';
import { WherryError } from '@wherry/base';
import { type CgroupFeatures, numbersOfDevice } from '@wherry/linux';
import type { BlockIoSpec, ResourcesSpec } from '@wherry/oci';
import type { BlockDeviceValue, ExtendedResources } from '@wherry/runtime';
import { errorText } from '../runtime/failures.ts';

/**
 * Resources in the words of the OCI specification, without devices. What the kernel has no setting for is left out,
 * as docker does. What CRI calls `unified` is for hosts with cgroups of version 2 alone; the runtimes refuse it on
 * others.
 */
export function resourcesSpec(
  wanted: ExtendedResources,
  cgroupVersion: 1 | 2,
  features: CgroupFeatures,
): ResourcesSpec {
  const resources = supportedResources(wanted, features);
  const parts = { memory: memorySpec(resources), cpu: cpuSpec(resources) };
  return {
    ...(Object.keys(parts.memory).length === 0 ? {} : { memory: parts.memory }),
    ...(Object.keys(parts.cpu).length === 0 ? {} : { cpu: parts.cpu }),
    ...blockIoSpec(resources),
    ...(positive(resources.pidsLimit) === undefined ? {} : { pids: { limit: resources.pidsLimit as number } }),
    ...given('hugepageLimits', resources.hugepageLimits?.length ? resources.hugepageLimits : undefined),
    ...given('unified', cgroupVersion === 2 ? resources.unified : undefined),
  };
}

/** Without what the kernel has no setting for. */
export function supportedResources(resources: ExtendedResources, features: CgroupFeatures): ExtendedResources {
  const unsupported = {
    ...(features.swapLimit ? {} : { memorySwapLimitBytes: undefined }),
    ...(features.swappiness ? {} : { memorySwappiness: undefined }),
    ...(features.oomKillDisable ? {} : { oomKillDisable: undefined }),
    ...(features.cpuRealtime ? {} : { cpuRealtimePeriod: undefined, cpuRealtimeRuntime: undefined }),
    ...(features.blockIoWeight ? {} : { blockIoWeight: undefined, blockIoWeightDevices: undefined }),
    ...(features.blockIoThrottle ? {} : { throttle: undefined }),
  };
  return { ...resources, ...unsupported };
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

function memorySpec(resources: ExtendedResources): NonNullable<ResourcesSpec['memory']> {
  const { memorySwappiness: swappiness } = resources;
  return {
    ...given('limit', positive(resources.memoryLimitBytes)),
    ...given('swap', positive(resources.memorySwapLimitBytes)),
    ...given('reservation', positive(resources.memoryReservationBytes)),
    ...given('swappiness', swappiness !== undefined && swappiness >= 0 ? swappiness : undefined),
    ...given('disableOOMKiller', resources.oomKillDisable === true ? true : undefined),
  };
}

function cpuSpec(resources: ExtendedResources): NonNullable<ResourcesSpec['cpu']> {
  const { cpuQuota } = resources;
  return {
    ...given('shares', positive(resources.cpuShares)),
    // Without limit a cgroup is anyway; crun writes a negative number as a huge one.
    ...given('quota', positive(cpuQuota)),
    ...given('period', positive(resources.cpuPeriod)),
    ...given('realtimePeriod', positive(resources.cpuRealtimePeriod)),
    ...given('realtimeRuntime', positive(resources.cpuRealtimeRuntime)),
    ...given('cpus', resources.cpusetCpus || undefined),
    ...given('mems', resources.cpusetMems || undefined),
  };
}

/** Without the weights: see `ownLimits`. */
function blockIoSpec({ throttle }: ExtendedResources): { readonly blockIO?: BlockIoSpec } {
  const rates = (values: readonly BlockDeviceValue[] | undefined) =>
    values?.length ? values.map(({ path, value }) => ({ ...blockDevice(path), rate: value })) : undefined;
  const blockIO: BlockIoSpec = {
    ...given('throttleReadBpsDevice', rates(throttle?.readBps)),
    ...given('throttleWriteBpsDevice', rates(throttle?.writeBps)),
    ...given('throttleReadIOPSDevice', rates(throttle?.readIops)),
    ...given('throttleWriteIOPSDevice', rates(throttle?.writeIops)),
  };
  return Object.keys(blockIO).length === 0 ? {} : { blockIO };
}

function blockDevice(path: string): { readonly major: number; readonly minor: number } {
  try {
    return numbersOfDevice(statSync(path).rdev);
  } catch (error) {
    throw new WherryError('notFound', `stat ${path}: ${errorText(error)}`, { cause: error });
  }
}

const positive = (value: number | undefined): number | undefined =>
  value !== undefined && value > 0 ? value : undefined;

function given<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V };
}
