import type { CoreV1Event, V1Pod } from '@wherry/api';
import { VirtualClock } from '@wherry/base';
import { createMemoryApi } from '@wherry/testkit';
import { expect, test } from 'vitest';
import { createEventRecorder } from './event-recorder.ts';
import { resources } from './resources.ts';

const pod: V1Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'a', uid: 'u' } };

function setUp(style: 'core' | 'series' = 'core') {
  const clock = new VirtualClock();
  const api = createMemoryApi({ clock });
  const recorder = createEventRecorder({ client: api, component: 'kubelet', host: 'node1', clock, style });
  return { clock, api, recorder, events: () => api.all<CoreV1Event>(resources.events) };
}

test('an Event carries its object, source and times', async () => {
  const { recorder, events, clock } = setUp();
  recorder.event(pod, 'Normal', 'Started', 'Container started');
  expect(events()).toHaveLength(0); // never in the way of the caller
  await recorder.flush();
  expect(events()).toHaveLength(1);
  const event = events()[0]!;
  expect(event).toMatchObject({
    type: 'Normal',
    reason: 'Started',
    message: 'Container started',
    count: 1,
    source: { component: 'kubelet', host: 'node1' },
    reportingComponent: 'kubelet',
    involvedObject: { kind: 'Pod', namespace: 'a', name: 'p', uid: 'u', apiVersion: 'v1' },
    firstTimestamp: '2026-01-01T00:00:00Z',
  });
  expect(event.metadata?.name).toBe(`p.${(BigInt(clock.now()) * 1_000_000n).toString(16)}`);
  await recorder[Symbol.asyncDispose]();
});

test('the same Event again raises the count, and is written anew after it expired', async () => {
  const { recorder, events, clock, api } = setUp();
  recorder.event(pod, 'Warning', 'Unhealthy', 'probe failed');
  await clock.advance(5000);
  recorder.event(pod, 'Warning', 'Unhealthy', 'probe failed');
  await recorder.flush();
  expect(events()).toHaveLength(1);
  expect(events()[0]).toMatchObject({ count: 2, lastTimestamp: '2026-01-01T00:00:05Z' });
  await api.delete(resources.events, { namespace: 'a', name: events()[0]!.metadata!.name! });
  recorder.event(pod, 'Warning', 'Unhealthy', 'probe failed');
  await recorder.flush();
  expect(events()).toHaveLength(1);
  expect(events()[0]).toMatchObject({ count: 3 });
});

test('after ten different messages of one reason they are combined, after 25 dropped', async () => {
  const { recorder, events } = setUp();
  for (let n = 0; n < 40; n++) recorder.event(pod, 'Warning', 'Odd', `message ${n}`);
  await recorder.flush();
  expect(events()).toHaveLength(11);
  expect(events()[10]).toMatchObject({ message: '(combined from similar events): message 24', count: 15 });
});

test('the series style has eventTime, action and a series for repeats', async () => {
  const { recorder, events, clock } = setUp('series');
  recorder.event(pod, 'Warning', 'FailedScheduling', 'no', { action: 'Scheduling' });
  await clock.advance(1000);
  recorder.event(pod, 'Warning', 'FailedScheduling', 'no', { action: 'Scheduling' });
  await recorder.flush();
  expect(events()).toHaveLength(1);
  expect(events()[0]).toMatchObject({
    eventTime: '2026-01-01T00:00:00.000000Z',
    action: 'Scheduling',
    series: { count: 2, lastObservedTime: '2026-01-01T00:00:01.000000Z' },
  });
  expect(events()[0]!.firstTimestamp).toBeUndefined();
});
