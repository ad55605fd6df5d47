export * from './kubelet.ts';
export { type MachineFacts, readMachineFacts } from './node/machine-facts.ts';
export { type BackOffSettings, defaultBackOff } from './pod/back-off.ts';
export type { StatsSummary } from './stats.ts';
export { logStream } from './streams/log-stream.ts';
