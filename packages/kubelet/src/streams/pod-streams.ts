import type { V1Pod } from '@wherry/api';
import type { Clock } from '@wherry/base';
import { WherryError } from '@wherry/base';
import type { ContainerStatus, LogOptions, PodKey, PodStreams, RuntimeService } from '@wherry/runtime';
import { observedPod, podLabels, runsOf } from '../pod/labels.ts';
import { readySandbox } from '../pod/plan.ts';
import { containersOf } from '../pod/resources.ts';
import { endedSession } from './ended-session.ts';
import { logStream } from './log-stream.ts';

export interface PodStreamsOptions {
  readonly runtime: RuntimeService;
  readonly clock: Clock;
  /** The pod as this node knows it. */
  readonly find: (key: PodKey) => V1Pod | undefined;
  /** Why a container has not started, as its status says (`ContainerCreating`). */
  readonly waitingReason: (pod: V1Pod, container: string) => string | undefined;
  /** Fires once when the container has ended; dispose to stop listening. */
  readonly onExit: (containerId: string, callback: () => void) => Disposable;
}

/** The streams of the node's pods, straight from the runtime and the log files. */
export function createPodStreams(options: PodStreamsOptions): PodStreams {
  const { runtime, clock } = options;

  const podOf = (key: PodKey): V1Pod => {
    const pod = options.find(key);
    if (pod === undefined)
      throw new WherryError('notFound', `pod ${JSON.stringify(`${key.name}_${key.namespace}`)} not found`);
    return pod;
  };
  const runsIn = async (pod: V1Pod, container: string): Promise<readonly ContainerStatus[]> => {
    if (!containersOf(pod).some(({ name }) => name === container))
      throw new WherryError('invalid', `container ${container} is not valid for pod ${pod.metadata?.name}`);
    const labels = { [podLabels.uid]: pod.metadata?.uid ?? '' };
    return runsOf(observedPod([], await runtime.listContainers({ labels })), container);
  };
  const running = async (key: PodKey, container: string): Promise<string> => {
    const pod = podOf(key);
    const run = (await runsIn(pod, container)).find(({ state }) => state === 'running');
    if (run !== undefined) return run.id;
    throw new WherryError('notFound', `container not found (${JSON.stringify(container)})`);
  };

  return {
    logs: async (key, container, logOptions, signal) => {
      checkLogOptions(logOptions);
      const pod = podOf(key);
      const runs = await runsIn(pod, container);
      const run = chooseRun(options, pod, container, runs, logOptions.previous === true);
      const ended = new AbortController();
      const listener = options.onExit(run.id, () => ended.abort());
      const isRunning = async (): Promise<boolean> => {
        const now = await runtime.listContainers({ id: run.id });
        return now[0]?.state === 'running' || now[0]?.state === 'created';
      };
      const stream = logStream(
        { path: run.logPath, clock, running: isRunning, ended: ended.signal },
        logOptions,
        signal,
      );
      stream.once('close', () => listener[Symbol.dispose]());
      return stream;
    },
    exec: async (key, container, execOptions) => runtime.exec(await running(key, container), execOptions),
    attach: async (key, container, attachOptions) => {
      const pod = podOf(key);
      const newest = (await runsIn(pod, container))[0];
      if (newest?.state === 'exited' && takesInput(pod, container)) return endedSession(newest, attachOptions, clock);
      return runtime.attach(await running(key, container), attachOptions);
    },
    portForward: async (key, port) => {
      const pod = podOf(key);
      const labels = { [podLabels.uid]: pod.metadata?.uid ?? '' };
      const sandbox = readySandbox(pod, observedPod(await runtime.listPodSandboxes({ labels }), []));
      if (sandbox === undefined)
        throw new WherryError('invalid', `pod ${pod.metadata?.name}_${pod.metadata?.namespace} is not running`);
      return runtime.portForward(sandbox.id, port);
    },
  };
}

/** Whether a container was made to be attached to. */
function takesInput(pod: V1Pod, container: string): boolean {
  return containersOf(pod).find(({ name }) => name === container)?.stdin === true;
}

function chooseRun(
  { waitingReason }: PodStreamsOptions,
  pod: V1Pod,
  container: string,
  runs: readonly ContainerStatus[],
  previous: boolean,
): ContainerStatus {
  const { name } = pod.metadata ?? {};
  if (previous) {
    // While a container waits for its restart, the run that ended is both its last and its previous one.
    const newest = runs[0];
    const waits = newest?.state === 'exited' && waitingReason(pod, container) !== undefined;
    const run = waits ? newest : runs.find(({ state }, at) => at > 0 && state === 'exited');
    if (run !== undefined) return run;
    throw new WherryError(
      'invalid',
      `previous terminated container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} not found`,
    );
  }
  const run = runs.find(({ state }) => state === 'running' || state === 'exited');
  if (run !== undefined) return run;
  const reason = waitingReason(pod, container) ?? 'ContainerCreating';
  const words = reason === 'ErrImagePull' || reason === 'ImagePullBackOff' || reason === 'ErrImageNeverPull';
  throw new WherryError(
    'invalid',
    words
      ? `container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} is waiting to start: ${pullWords(reason)}`
      : `container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} is waiting to start: ${reason}`,
  );
}

/** Upstream's log endpoint shortens what it says about pulls. */
function pullWords(reason: string): string {
  return reason === 'ErrImageNeverPull' ? reason : 'trying and failing to pull image';
}

function checkLogOptions({ sinceSeconds, sinceTime, tailLines, limitBytes }: LogOptions): void {
  if (sinceSeconds !== undefined && sinceTime !== undefined)
    throw new WherryError('invalid', 'at most one of sinceTime or sinceSeconds may be specified');
  if (tailLines !== undefined && tailLines < 0)
    throw new WherryError('invalid', 'tailLines must be greater than or equal to 0');
  if (limitBytes !== undefined && limitBytes < 1) throw new WherryError('invalid', 'limitBytes must be greater than 0');
}
