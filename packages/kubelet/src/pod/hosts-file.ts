import type { V1Pod } from '@wherry/api';

/** The host name of a pod: `spec.hostname` or its name, at most 63 characters. */
export function podHostname(pod: V1Pod): string {
  const name = pod.spec?.hostnameOverride || pod.spec?.hostname || pod.metadata?.name || 'localhost';
  return name.slice(0, 63).replace(/[-.]+$/, '');
}

/** `host.subdomain.namespace.svc.domain` of a pod with a subdomain. */
export function podDomainName(pod: V1Pod, clusterDomain: string): string | undefined {
  const { subdomain } = pod.spec ?? {};
  if (!subdomain) return undefined;
  return `${podHostname(pod)}.${subdomain}.${pod.metadata?.namespace ?? ''}.svc.${clusterDomain}`;
}

/** `/etc/hosts` of a pod with its own network. */
export function hostsFile(pod: V1Pod, ips: readonly string[], clusterDomain: string): string {
  const lines = [
    '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'fe00::0\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
  ];
  const names = [podDomainName(pod, clusterDomain), podHostname(pod)].filter((name) => name !== undefined);
  for (const ip of ips) lines.push(`${ip}\t${names.join('\t')}`);
  return `${lines.join('\n')}\n${aliases(pod)}`;
}

/** `/etc/hosts` of a pod on the node's network: the node's own, and the aliases. */
export function hostNetworkHostsFile(pod: V1Pod, content: string): string {
  return `# Kubernetes-managed hosts file (host network).\n${content}${aliases(pod)}`;
}

function aliases(pod: V1Pod): string {
  const entries = (pod.spec?.hostAliases ?? []).filter(({ hostnames }) => hostnames && hostnames.length > 0);
  if (entries.length === 0) return '';
  const lines = entries.map(({ ip, hostnames }) => `${ip}\t${(hostnames ?? []).join('\t')}`);
  return `\n# Entries added by HostAliases.\n${lines.join('\n')}\n`;
}
