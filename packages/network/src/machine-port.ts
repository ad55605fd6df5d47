import { isAnyAddress } from './rules.ts';

/** A port of the machine, on one of its addresses or, without one, on all. */
export interface MachinePort {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly hostIp?: string | undefined;
  readonly hostPort: number;
}

/** Who else on the machine publishes a port, by name; rules of two tables for one port would hide each other. */
export type PortHolder = (port: MachinePort) => string | undefined;

/** Whether two publish the same port: on the same address, or one of them on all. IPv6 has ports of its own. */
export function isSamePort(one: MachinePort, other: MachinePort): boolean {
  if (one.protocol !== other.protocol || one.hostPort !== other.hostPort) return false;
  const [a, b] = [one.hostIp || '0.0.0.0', other.hostIp || '0.0.0.0'];
  return a.includes(':') === b.includes(':') && (isAnyAddress(a) || isAnyAddress(b) || a === b);
}
