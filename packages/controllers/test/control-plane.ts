import { type CoreV1Event, timeText, type V1Pod } from '@wherry/api';
import { type Random, silentLogger, systemRandom, VirtualClock } from '@wherry/base';
import { createInformerFactory, type InformerFactory, keyOf, resources } from '@wherry/client';
import { createMemoryApi, type MemoryApi } from '@wherry/testkit';
import type { Controller, ControllerContext } from '../src/context.ts';

/** Controllers on an in-memory API and a virtual clock, with a node that runs every pod at once. */
export interface ControlPlane extends AsyncDisposable {
  readonly api: MemoryApi;
  readonly clock: VirtualClock;
  readonly informers: InformerFactory;
  pods(): readonly V1Pod[];
  /** `reason: message` of each Event, in order of time. */
  events(): string[];
  /** Sets a pod's phase; `Running` is ready. */
  setPhase(pod: V1Pod, phase: string): Promise<void>;
  settle(): Promise<void>;
}

export async function startControlPlane(
  controllers: (context: ControllerContext) => readonly Controller[],
  { kubelet = true, random = systemRandom }: { kubelet?: boolean; random?: Random } = {},
): Promise<ControlPlane> {
  const clock = new VirtualClock();
  const api = createMemoryApi({ clock, random });
  const end = new AbortController();
  const informers = createInformerFactory({ client: api, clock, log: silentLogger, jitter: () => 0 });
  const context = { client: api, informers, clock, random, log: silentLogger };
  const running = [informers.run(end.signal), ...controllers(context).map((one) => one.run(end.signal))];

  const setPhase = async (pod: V1Pod, phase: string): Promise<void> => {
    const now = timeText(clock.now());
    const ready = { type: 'Ready', status: phase === 'Running' ? 'True' : 'False', lastTransitionTime: now };
    const status = { ...pod.status, phase, conditions: [ready], startTime: now };
    await api.patch(
      resources.pods,
      { namespace: pod.metadata!.namespace, name: pod.metadata!.name! },
      'merge',
      { status },
      {
        subresource: 'status',
      },
    );
  };
  if (kubelet)
    informers.informer<V1Pod>(resources.pods).onChange(({ type, object }) => {
      if (type === 'added' && !object.status?.phase) setPhase(object, 'Running').catch(() => undefined);
    });
  await clock.advance(0);
  return {
    api,
    clock,
    informers,
    pods: () => [...api.all<V1Pod>(resources.pods)].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)),
    events: () => api.all<CoreV1Event>(resources.events).map((event) => `${event.reason}: ${event.message}`),
    setPhase,
    settle: () => clock.advance(0),
    async [Symbol.asyncDispose]() {
      end.abort();
      await Promise.all(running);
    },
  };
}
