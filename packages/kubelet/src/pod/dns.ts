import { readFile } from 'node:fs/promises';
import type { V1Pod } from '@wherry/api';
import type { DnsConfig } from '@wherry/runtime';

export interface ClusterDns {
  readonly servers: readonly string[];
  readonly domain: string;
}

const mostServers = 3; // glibc's MAXNS; upstream's limits
const mostSearches = 32;

/** Reads resolv.conf(5): name servers, search list, options. */
export function parseResolvConf(text: string): DnsConfig {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    if (keyword === 'nameserver' && values[0]) servers.push(values[0]);
    else if (keyword === 'search') searches = values.filter((name) => name !== '.');
    else if (keyword === 'domain' && searches.length === 0) searches = values.slice(0, 1);
    else if (keyword === 'options') options = [...options, ...values];
  }
  return { servers, searches, options };
}

/** The resolver of the host; empty when its file cannot be read. */
export async function hostDns(path: string): Promise<DnsConfig> {
  try {
    return parseResolvConf(await readFile(path, 'utf8'));
  } catch {
    return { servers: [], searches: [], options: [] };
  }
}

/** The resolver configuration of a pod by `dnsPolicy` and `dnsConfig`. */
export function podDns(pod: V1Pod, cluster: ClusterDns | undefined, host: DnsConfig): DnsConfig {
  const policy = pod.spec?.dnsPolicy ?? 'ClusterFirst';
  const byCluster =
    cluster !== undefined &&
    (policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && pod.spec?.hostNetwork !== true));
  const base: DnsConfig =
    policy === 'None'
      ? { servers: [], searches: [], options: [] }
      : byCluster
        ? clusterFirst(pod.metadata?.namespace ?? 'default', cluster, host)
        : host;
  return withPodConfig(base, pod.spec?.dnsConfig);
}

function clusterFirst(namespace: string, { servers, domain }: ClusterDns, host: DnsConfig): DnsConfig {
  const own = [`${namespace}.svc.${domain}`, `svc.${domain}`, domain];
  return { servers, searches: unique([...own, ...host.searches]), options: ['ndots:5'] };
}

function withPodConfig(base: DnsConfig, config: NonNullable<V1Pod['spec']>['dnsConfig']): DnsConfig {
  const options = new Map(base.options.map((option) => [option.split(':', 1)[0] as string, option]));
  for (const { name, value } of config?.options ?? [])
    if (name) options.set(name, value === undefined || value === '' ? name : `${name}:${value}`);
  return {
    servers: unique([...base.servers, ...(config?.nameservers ?? [])]).slice(0, mostServers),
    searches: unique([...base.searches, ...(config?.searches ?? [])]).slice(0, mostSearches),
    options: [...options.values()],
  };
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
