export * from './bridge-network.ts';
export * from './container-networks.ts';
export { addressProblems, formatProblems, problemLines } from './containers/connect-validation.ts';
export { type DefaultPool, dockerPools } from './containers/default-pools.ts';
export { byGateway, type GatewayCandidate } from './containers/gateway-order.ts';
export type { NameResolution, NameSource, StartNameServer } from './containers/name-service.ts';
export { type ContainerNetworksOptions, openContainerNetworks } from './containers/open-container-networks.ts';
export * from './machine-port.ts';
export * from './network.ts';
