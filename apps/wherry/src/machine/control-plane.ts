import { mkdir } from 'node:fs/promises';
import { builtinKinds, type V1Pod } from '@wherry/api';
import {
  type ApiServer,
  bootstrapRbacObjects,
  type CacheReader,
  createApiServer,
  createAuthenticator,
  createNodeAuthorizer,
  createRbacAuthorizer,
  createServiceAccountTokens,
  defaultAdmissionPlugins,
  type RbacObject,
  type RbacResource,
  type ServiceAccountTokens,
  type UserInfo,
  unionAuthorizer,
  type VersionInfo,
} from '@wherry/apiserver';
import { type Clock, ipv4At, type Logger, parseCidr, type Random, WherryError } from '@wherry/base';
import { type ClusterPki, ensurePki } from '@wherry/bootstrap';
import { dialInNetns } from '@wherry/linux';
import type { PortHolder } from '@wherry/network';
import type { PodStreams } from '@wherry/runtime';
import { openEmbeddedStore, type Store } from '@wherry/store';
import { kubernetesVersion } from '../version.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { machinePaths } from './paths.ts';

export interface Surroundings {
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
}

/** The identity under which the process reads for all of its parts. */
export const readerUser: UserInfo = {
  username: 'system:apiserver',
  groups: ['system:masters', 'system:authenticated'],
};

/** A controller's own service account, as upstream runs with `--use-service-account-credentials`. */
export function controllerUser(name: string): UserInfo {
  return {
    username: `system:serviceaccount:kube-system:${name}`,
    groups: ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'],
  };
}

export const componentUser = (name: string): UserInfo => ({
  username: `system:${name}`,
  groups: ['system:authenticated'],
});

export const nodeUser = (name: string): UserInfo => ({
  username: `system:node:${name}`,
  groups: ['system:nodes', 'system:authenticated'],
});

/** What the control plane needs on disk, opened side by side. */
export async function openState(
  config: ClusterConfig,
  nodeIp: string,
  gateway: string,
  { log, clock }: Surroundings,
): Promise<{ store: Store; pki: ClusterPki }> {
  const paths = machinePaths(config);
  await mkdir(config.rootDirectory, { recursive: true, mode: 0o700 });
  const [store, pki] = await Promise.all([
    openEmbeddedStore({ directory: paths.store, log: log.with({ part: 'store' }) }),
    ensurePki({ directory: paths.pki, serverNames: serverNames(config, nodeIp, gateway), clock }),
  ]);
  return { store, pki };
}

function serverNames(
  { serviceCidr, nodeName, listenAddresses, clusterDomain }: ClusterConfig,
  nodeIp: string,
  gateway: string,
): string[] {
  const service = 'kubernetes.default.svc';
  const names = ['kubernetes', 'kubernetes.default', service, `${service}.${clusterDomain}`, 'localhost', nodeName];
  const addresses = ['127.0.0.1', '::1', ipv4At(parseCidr(serviceCidr), 1), gateway, nodeIp, ...listenAddresses];
  return [...new Set([...names, ...addresses.filter((address) => address !== '0.0.0.0')])];
}

export interface ControlPlaneOptions {
  readonly store: Store;
  readonly pki: ClusterPki;
  /** Where pods reach the API server. */
  readonly gateway: string;
  readonly streamsOf: (nodeName: string) => PodStreams | undefined;
  /** The containers that publish ports of the machine. */
  readonly portHolder: PortHolder;
}

/** The API server with its authentication, authorisation and admission. */
export async function startApiServer(
  config: ClusterConfig,
  { store, pki, gateway, streamsOf, portHolder }: ControlPlaneOptions,
  surroundings: Surroundings,
): Promise<ApiServer> {
  const { clock, random, log } = surroundings;
  let tokens: ServiceAccountTokens | undefined;
  const tokensOf = (reader: CacheReader): ServiceAccountTokens =>
    (tokens ??= serviceAccountTokens(config, pki, reader, surroundings));
  return createApiServer({
    store,
    kinds: builtinKinds,
    authenticator: (reader: CacheReader) => createAuthenticator({ serviceAccountTokens: tokensOf(reader) }),
    tokenIssuer: tokensOf,
    authorizer: authorizerOf,
    admission: defaultAdmissionPlugins({ random, protectStorage: true }),
    streamsOf,
    dialPod: (address, port) => dialInNetns(undefined, address, port),
    serviceCidr: config.serviceCidr,
    nodePortHolder: portHolder,
    version: versionInfo(),
    clock,
    random,
    log: log.with({ part: 'apiserver' }),
    tls: { key: pki.apiserver.key, cert: pki.apiserver.certificate, clientCa: pki.ca.certificate },
    advertise: { address: gateway, port: config.apiPort },
    bootstrapObjects: bootstrapRbacObjects(),
  });
}

function serviceAccountTokens(
  config: ClusterConfig,
  pki: ClusterPki,
  reader: CacheReader,
  { clock, random }: Surroundings,
): ServiceAccountTokens {
  const issuer = `https://kubernetes.default.svc.${config.clusterDomain}`;
  return createServiceAccountTokens({
    signingKey: pki.serviceAccountKey,
    issuer,
    apiAudiences: [issuer],
    lookup: (resource, namespace, name) => {
      const uid = reader.get({ group: '', resource }, namespace, name)?.metadata?.uid;
      return uid === undefined ? undefined : { uid };
    },
    clock,
    random,
  });
}

const rbacGroup = 'rbac.authorization.k8s.io';
const rbacResources: readonly RbacResource[] = ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'];

/** `--authorization-mode=Node,RBAC`, over the server's cache. */
function authorizerOf(reader: CacheReader) {
  const rbac = createRbacAuthorizer({
    list: (resource) => reader.list({ group: rbacGroup, resource }, '') as readonly RbacObject[],
    generation: () =>
      rbacResources.reduce((sum, resource) => sum + reader.generation({ group: rbacGroup, resource }), 0),
  });
  const node = createNodeAuthorizer({
    nodeRules: () =>
      (reader.get({ group: rbacGroup, resource: 'clusterroles' }, '', 'system:node') as RbacObject | undefined)
        ?.rules ?? [],
    podsIn: (namespace) => reader.list({ group: '', resource: 'pods' }, namespace) as readonly V1Pod[],
  });
  return unionAuthorizer(node, rbac);
}

function versionInfo(): VersionInfo {
  const [major, minor] = kubernetesVersion.slice(1).split('.') as [string, string];
  return {
    major,
    minor,
    gitVersion: kubernetesVersion,
    gitCommit: '',
    gitTreeState: 'clean',
    buildDate: '1970-01-01T00:00:00Z',
    goVersion: process.version,
    compiler: 'v8',
    platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
  };
}

/** Listens on every address that the cluster is reached at. A port in use is a `conflict` that names it. */
export async function listen(server: ApiServer, config: ClusterConfig, gateway: string): Promise<void> {
  const hosts = config.listenAddresses.includes('0.0.0.0')
    ? ['0.0.0.0']
    : [...new Set([...config.listenAddresses, gateway])];
  for (const host of hosts) {
    try {
      await server.listen({ host, port: config.apiPort });
    } catch (error) {
      if ((error as { code?: string }).code !== 'EADDRINUSE' && (error as { code?: string }).code !== 'conflict')
        throw error;
      throw new WherryError(
        'conflict',
        `port ${config.apiPort} on ${host} is in use by another program; choose another with --api-port`,
        { cause: error },
      );
    }
  }
}
