import type { V1Container, V1LifecycleHandler } from '@wherry/api';
import { type Clock, messageOf, sleep, WherryError } from '@wherry/base';
import type { RuntimeService } from '@wherry/runtime';
import { httpQuery, type ProbeTarget, portOf } from '../probes/handler.ts';
import { httpProbe } from '../probes/http-probe.ts';
import { tcpProbe } from '../probes/tcp-probe.ts';

const httpTimeout = 30_000;

/** Runs a `postStart` or `preStop` handler to its end. Rejects with upstream's words when it fails. */
export async function runHook(
  handler: V1LifecycleHandler,
  target: ProbeTarget,
  { runtime, clock, signal }: { runtime: RuntimeService; clock: Clock; signal?: AbortSignal | undefined },
): Promise<void> {
  if (handler.exec) {
    const command = handler.exec.command ?? [];
    const { exitCode, stdout, stderr } = await runtime.execSync(target.containerId, command, 0);
    if (exitCode !== 0) {
      const output = Buffer.concat([stdout, stderr]).subarray(0, 1024).toString();
      throw new WherryError('internal', `command '${command.join(' ')}' exited with ${exitCode}: ${output}`);
    }
    return;
  }
  if (handler.httpGet) {
    const result = await httpProbe(httpQuery(handler.httpGet, target, httpTimeout), clock);
    // Any answer will do; only a request that got none fails (upstream's lifecycle handler).
    if (result.outcome !== 'success' && !result.output.startsWith('HTTP probe failed'))
      throw new WherryError('unavailable', result.output);
    return;
  }
  if (handler.tcpSocket) {
    const port = portOf(target.container, handler.tcpSocket.port as number | string);
    const result = await tcpProbe(handler.tcpSocket.host || target.host, port, httpTimeout, clock);
    if (result.outcome !== 'success') throw new WherryError('unavailable', result.output);
    return;
  }
  if (handler.sleep) await sleep(clock, handler.sleep.seconds * 1000, { signal });
}

/** The message of a failed hook's event. */
export function hookFailure(name: 'PostStartHook' | 'PreStopHook', container: V1Container, error: unknown): string {
  return `${name} failed for container ${container.name}: ${messageOf(error)}`;
}
