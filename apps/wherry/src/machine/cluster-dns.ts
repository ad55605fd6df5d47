import { Resolver } from 'node:dns/promises';
import { codeOf, ipv4At, parseCidr, WherryError } from '@wherry/base';
import { type ApiClient, type KubeObject, type ResourceId, resources } from '@wherry/client';

const namespace = 'kube-system';
const name = 'kube-dns';
const labels = { 'k8s-app': 'kube-dns', 'kubernetes.io/name': 'CoreDNS' };

/** The address of the cluster's DNS service: the tenth of the service range, as everywhere. */
export function dnsServiceAddress(serviceCidr: string): string {
  return ipv4At(parseCidr(serviceCidr), 10);
}

/**
 * Makes the service `kube-dns` lead to the DNS server of this process, which listens on the pods' bridge. It
 * has no selector: its endpoint is written here.
 */
export async function ensureDnsService(
  client: ApiClient,
  serviceAddress: string,
  serverAddress: string,
): Promise<void> {
  const ports = [
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'dns-tcp', port: 53, protocol: 'TCP' },
  ];
  await ensure(client, resources.services, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, labels: { ...labels, 'kubernetes.io/cluster-service': 'true' } },
    spec: { clusterIP: serviceAddress, ports: ports.map((port) => ({ ...port, targetPort: 53 })) },
  });
  await ensure(client, resources.endpointSlices, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name,
      namespace,
      labels: { ...labels, 'kubernetes.io/service-name': name, 'endpointslice.kubernetes.io/managed-by': 'wherry' },
    },
    addressType: 'IPv4',
    endpoints: [{ addresses: [serverAddress], conditions: { ready: true, serving: true, terminating: false } }],
    ports,
  });
}

async function ensure(
  client: ApiClient,
  resource: ResourceId,
  object: KubeObject & Record<string, unknown>,
): Promise<void> {
  const at = { namespace, name: object.metadata!.name! };
  const present = await client.get(resource, at).catch((error: unknown) => {
    if (codeOf(error) === 'notFound') return undefined;
    throw error;
  });
  if (present === undefined) {
    await client.create(resource, object);
    return;
  }
  // What somebody changed comes back: pods resolve names by it. A patch without effect writes nothing.
  const { apiVersion: _version, kind: _kind, metadata: _metadata, ...content } = object;
  await client.patch(resource, at, 'merge', content);
}

/** Asks the server for the API's own service; rejects unless it answers. */
export async function checkDns(server: string, clusterDomain: string): Promise<void> {
  const resolver = new Resolver({ timeout: 500, tries: 2 });
  resolver.setServers([server]);
  const addresses = await resolver.resolve4(`kubernetes.default.svc.${clusterDomain}`);
  if (addresses.length === 0)
    throw new WherryError('unavailable', `DNS at ${server} does not know the cluster's services`);
}
