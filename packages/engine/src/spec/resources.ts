import type { ResourcesSpec } from '@wherry/oci';
import type { LinuxResources } from '@wherry/runtime';

/**
 * CRI's resources in the words of the OCI specification, without devices. What CRI calls `unified` is for hosts
 * with cgroups of version 2 alone; the runtimes refuse it on others.
 */
export function resourcesSpec(resources: LinuxResources, cgroupVersion: 1 | 2): ResourcesSpec {
  const { cpuShares, cpuQuota, cpuPeriod, cpusetCpus, cpusetMems, memoryLimitBytes, memorySwapLimitBytes } = resources;
  const memory = { ...given('limit', positive(memoryLimitBytes)), ...given('swap', positive(memorySwapLimitBytes)) };
  const cpu = {
    ...given('shares', positive(cpuShares)),
    ...given('quota', cpuQuota === 0 ? undefined : cpuQuota),
    ...given('period', positive(cpuPeriod)),
    ...given('cpus', cpusetCpus || undefined),
    ...given('mems', cpusetMems || undefined),
  };
  return {
    ...(Object.keys(memory).length === 0 ? {} : { memory }),
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(positive(resources.pidsLimit) === undefined ? {} : { pids: { limit: resources.pidsLimit as number } }),
    ...given('hugepageLimits', resources.hugepageLimits?.length ? resources.hugepageLimits : undefined),
    ...given('unified', cgroupVersion === 2 ? resources.unified : undefined),
  };
}

const positive = (value: number | undefined): number | undefined =>
  value !== undefined && value > 0 ? value : undefined;

function given<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V };
}
