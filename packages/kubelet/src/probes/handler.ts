import type { V1Container, V1HTTPGetAction, V1Probe } from '@wherry/api';
import { type Clock, codeOf, messageOf, WherryError } from '@wherry/base';
import type { RuntimeService } from '@wherry/runtime';
import { goDuration } from '../pod/back-off.ts';
import { grpcProbe } from './grpc-probe.ts';
import { type HttpQuery, httpProbe } from './http-probe.ts';
import { failure, outputLimit, type ProbeResult, success } from './probe-result.ts';
import { tcpProbe } from './tcp-probe.ts';

/** Where a probe goes. */
export interface ProbeTarget {
  readonly container: V1Container;
  readonly containerId: string;
  /** Address of the pod as the node reaches it. */
  readonly host: string;
}

/** The number of a port that is given as number, text or name. Throws `invalid`. */
export function portOf(container: V1Container, port: number | string | object): number {
  const named = container.ports?.find(({ name }) => name !== undefined && name === port)?.containerPort;
  const number = named ?? Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535)
    throw new WherryError('invalid', `couldn't find port ${JSON.stringify(port)} in container ${container.name}`);
  return number;
}

/** The request of an `httpGet` action. */
export function httpQuery(action: V1HTTPGetAction, target: ProbeTarget, timeoutMs: number): HttpQuery {
  return {
    scheme: action.scheme?.toLowerCase() === 'https' ? 'https' : 'http',
    host: action.host || target.host,
    port: portOf(target.container, action.port as number | string),
    path: action.path || '/',
    headers: action.httpHeaders ?? [],
    timeoutMs,
  };
}

/** Runs one probe once. Never rejects. */
export async function runProbe(
  probe: V1Probe,
  target: ProbeTarget,
  runtime: RuntimeService,
  clock: Clock,
): Promise<ProbeResult> {
  const timeout = probe.timeoutSeconds ?? 1;
  try {
    if (probe.exec) return await execProbe(probe.exec.command ?? [], timeout, target, runtime);
    if (probe.httpGet) return await httpProbe(httpQuery(probe.httpGet, target, timeout * 1000), clock);
    if (probe.tcpSocket) {
      const port = portOf(target.container, probe.tcpSocket.port as number | string);
      return await tcpProbe(probe.tcpSocket.host || target.host, port, timeout * 1000, clock);
    }
    if (probe.grpc)
      return await grpcProbe(target.host, probe.grpc.port, probe.grpc.service ?? '', timeout * 1000, clock);
    return { outcome: 'error', output: `missing probe handler for ${target.container.name}` };
  } catch (error) {
    return { outcome: 'error', output: messageOf(error) };
  }
}

async function execProbe(
  command: readonly string[],
  timeout: number,
  { containerId }: ProbeTarget,
  runtime: RuntimeService,
): Promise<ProbeResult> {
  try {
    const { stdout, stderr, exitCode } = await runtime.execSync(containerId, command, timeout);
    const output = Buffer.concat([stdout, stderr]).subarray(0, outputLimit).toString();
    return exitCode === 0 ? success(output) : failure(output);
  } catch (error) {
    if (codeOf(error) === 'timeout')
      return failure(`command timed out: "${command.join(' ')}" timed out after ${goDuration(timeout * 1000)}`);
    throw error;
  }
}
