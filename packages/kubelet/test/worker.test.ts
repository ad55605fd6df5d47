import type { CoreV1Event, V1Lease, V1Node } from '@wherry/api';
import { resources } from '@wherry/client';
import { describe, expect, it } from 'vitest';
import { result } from './fake-runtime.ts';
import { makeScene, type Scene } from './scene.ts';

const busybox = (name: string, more: object = {}): { name: string; image: string } => ({
  name,
  image: 'busybox:1.35',
  ...more,
});
const state = (scene: Scene, name: string): unknown => scene.pod(name)?.status?.containerStatuses?.[0]?.state;
const ready = (scene: Scene, name: string): string | undefined =>
  scene.pod(name)?.status?.conditions?.find(({ type }) => type === 'Ready')?.status;

describe('a pod on a node', () => {
  it('runs, becomes ready with one status write, and is deleted with its grace', async () => {
    await using scene = await makeScene();
    await scene.create('web', { containers: [busybox('c')] });
    expect(scene.pod('web')?.status).toMatchObject({
      phase: 'Running',
      podIP: '10.0.0.1',
      hostIP: '172.31.99.1',
      qosClass: 'BestEffort',
      observedGeneration: 1,
      containerStatuses: [
        {
          name: 'c',
          ready: true,
          started: true,
          restartCount: 0,
          image: 'docker.io/library/busybox:1.35',
          imageID: 'sha256:feed',
        },
      ],
    });
    expect(ready(scene, 'web')).toBe('True');
    expect(
      scene.api.writes.filter(({ resource, subresource }) => resource === 'pods' && subresource === 'status'),
    ).toHaveLength(1);
    expect(scene.events()).toEqual([
      'Normal Pulled Container image "busybox:1.35" already present on machine',
      'Normal Created Container created',
      'Normal Started Container started',
    ]);
    await scene.api.delete(resources.pods, { namespace: 'default', name: 'web' });
    await scene.step();
    expect(scene.runtime.calls).toEqual(['start c', 'stop c 5']);
    expect(scene.pod('web')).toBeUndefined();
    expect(scene.runtime.sandboxes.size).toBe(0);
    expect(scene.events()).toContain('Normal Killing Stopping container c');
  });

  it('does not run with the machine’s users where it must not', async () => {
    await using scene = await makeScene();
    await scene.create('own', { hostUsers: false, containers: [busybox('c')] });
    expect(scene.events()).toContain(
      "Warning FailedCreatePodSandBox Failed to create pod sandbox: can't set `spec.hostUsers: false`, runtime does not support user namespaces",
    );
    expect(scene.runtime.sandboxes.size).toBe(0);
    expect(scene.pod('own')?.status?.phase).toBe('Pending');
  });

  it('backs off a container that keeps failing: 10 s, then 20 s', async () => {
    await using scene = await makeScene();
    const { metadata } = await scene.create('crash', { containers: [busybox('c')] });
    scene.runtime.exit(scene.runtime.named('c').id, 3);
    await scene.step();
    expect(scene.runtime.calls).toEqual(['start c', 'start c']); // the first restart is at once
    scene.runtime.exit(scene.runtime.named('c').id, 3);
    await scene.step();
    expect(state(scene, 'crash')).toEqual({
      waiting: {
        reason: 'CrashLoopBackOff',
        message: `back-off 10s restarting failed container=c pod=crash_default(${metadata?.uid})`,
      },
    });
    expect(scene.pod('crash')?.status?.containerStatuses?.[0]?.lastState?.terminated).toMatchObject({
      exitCode: 3,
      reason: 'Error',
    });
    await scene.step(9_000);
    expect(scene.runtime.calls).toHaveLength(2);
    await scene.step(1_500);
    expect(scene.runtime.calls).toHaveLength(3);
    expect(scene.pod('crash')?.status?.containerStatuses?.[0]?.restartCount).toBe(2);
    scene.runtime.exit(scene.runtime.named('c').id, 3);
    await scene.step(15_000);
    expect(scene.runtime.calls).toHaveLength(3);
    await scene.step(6_000);
    expect(scene.runtime.calls).toHaveLength(4);
    expect(scene.runtime.containers.size).toBe(2); // the running one and the one before
    expect(scene.events()).toContain(
      `Warning BackOff Back-off restarting failed container c in pod crash_default(${metadata?.uid})`,
    );
  });

  it('ends when nothing is to run again', async () => {
    await using scene = await makeScene();
    await scene.create('once', { restartPolicy: 'Never', containers: [busybox('c')] });
    scene.runtime.exit(scene.runtime.named('c').id, 0);
    await scene.step();
    expect(scene.pod('once')?.status?.phase).toBe('Succeeded');
    const conditions = scene.pod('once')?.status?.conditions;
    expect(conditions?.find(({ type }) => type === 'Ready')).toMatchObject({ status: 'False', reason: 'PodCompleted' });
    expect(scene.runtime.containers.size).toBe(1); // kept for its logs
    expect([...scene.runtime.sandboxes.values()].map((sandbox) => sandbox.state)).toEqual(['notReady']);
    await scene.restart();
    expect(scene.pod('once')?.status?.phase).toBe('Succeeded');
    expect(scene.runtime.calls).toEqual(['start c']);
  });

  it('starts init containers in turn, keeps sidecars and stops them last', async () => {
    await using scene = await makeScene();
    await scene.create('init', {
      initContainers: [busybox('one'), busybox('side', { restartPolicy: 'Always' })],
      containers: [busybox('main'), busybox('peer')],
    });
    expect(scene.runtime.calls).toEqual(['start one']);
    expect(state(scene, 'init')).toEqual({ waiting: { reason: 'PodInitializing' } });
    scene.runtime.exit(scene.runtime.named('one').id, 0);
    await scene.step();
    expect(scene.runtime.calls).toEqual(['start one', 'start side', 'start main', 'start peer']);
    expect(ready(scene, 'init')).toBe('True');
    await scene.api.delete(resources.pods, { namespace: 'default', name: 'init' });
    await scene.step();
    expect(scene.runtime.calls.slice(4)).toEqual(['stop main 5', 'stop peer 5', 'stop side 5']);
  });

  it('waits for a ConfigMap and goes on when it appears', async () => {
    await using scene = await makeScene();
    const env = [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'later', key: 'a' } } }];
    await scene.create('missing', { containers: [busybox('c', { env })] });
    expect(state(scene, 'missing')).toEqual({
      waiting: { reason: 'CreateContainerConfigError', message: 'configmap "later" not found' },
    });
    expect(scene.events()).toContain('Warning Failed Error: configmap "later" not found');
    await scene.api.create(resources.configMaps, {
      metadata: { namespace: 'default', name: 'later' },
      data: { a: '1' },
    } as never);
    await scene.step();
    expect(ready(scene, 'missing')).toBe('True');
    const config = scene.runtime.configs.get(scene.runtime.named('c').id);
    expect(config?.env).toContainEqual({ name: 'A', value: '1' });
  });

  it('tries to mount a volume of a missing ConfigMap with growing pauses, and at once when it appears', async () => {
    await using scene = await makeScene();
    await scene.create('vol', {
      containers: [busybox('c')],
      volumes: [{ name: 'v', configMap: { name: 'late' } }],
    });
    for (let second = 0; second < 30; second++) await scene.step(1000);
    const failure = scene.api.all<CoreV1Event>(resources.events).find(({ reason }) => reason === 'FailedMount');
    expect(failure?.count).toBeGreaterThan(3);
    expect(failure?.count).toBeLessThan(9);
    expect(scene.runtime.calls).toEqual([]);
    await scene.api.create(resources.configMaps, { metadata: { name: 'late', namespace: 'default' } });
    await scene.step();
    expect(scene.runtime.calls).toEqual(['start c']);
  });

  it('shows the image, not the restart, when a container is changed to an image that cannot be pulled', async () => {
    await using scene = await makeScene();
    await scene.create('changed', { containers: [busybox('c')] });
    const pod = scene.pod('changed')!;
    await scene.api.update(resources.pods, {
      ...pod,
      spec: { ...pod.spec!, containers: [{ name: 'c', image: 'absent:1' }] },
    });
    await scene.step(1000);
    await scene.step(1000);
    expect(scene.runtime.calls).toEqual(['start c', 'stop c 5']);
    expect(state(scene, 'changed')).toMatchObject({
      waiting: { reason: expect.stringMatching(/^(ErrImagePull|ImagePullBackOff)$/) },
    });
    expect(scene.events().filter((event) => event.includes('restarting failed container'))).toEqual([]);
  });

  it('starts what a crash left unstarted, as the same attempt', async () => {
    await using scene = await makeScene();
    await scene.create('web', { containers: [busybox('c')] });
    const { id, ...rest } = scene.runtime.named('c');
    scene.runtime.containers.set(id, { ...rest, id, state: 'created', startedAt: undefined });
    await scene.restart();
    expect([...scene.runtime.containers.values()]).toMatchObject([{ state: 'running', metadata: { attempt: 0 } }]);
    expect(scene.runtime.containers.has(id)).toBe(false);
    expect(scene.pod('web')?.status?.containerStatuses?.[0]).toMatchObject({ restartCount: 0, ready: true });
  });

  it('tells pulls that fail from images that must not be pulled', async () => {
    await using scene = await makeScene();
    await scene.create('bad', {
      containers: [{ name: 'c', image: 'localhost:1/nope:v1', imagePullPolicy: 'IfNotPresent' }],
    });
    expect(state(scene, 'bad')).toMatchObject({ waiting: { reason: 'ErrImagePull' } });
    await scene.step(2_000);
    expect(state(scene, 'bad')).toEqual({
      waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "localhost:1/nope:v1"' },
    });
    await scene.create('never', { containers: [{ name: 'c', image: 'busybox:missing', imagePullPolicy: 'Never' }] });
    expect(state(scene, 'never')).toEqual({
      waiting: {
        reason: 'ErrImageNeverPull',
        message: 'Container image "busybox:missing" is not present with pull policy of Never',
      },
    });
  });

  it('takes an image at once that comes while it waits with its next pull', async () => {
    await using scene = await makeScene();
    const image = 'localhost:1/late:v1';
    await scene.create('late', { containers: [{ name: 'c', image, imagePullPolicy: 'IfNotPresent' }] });
    await scene.step(2_000);
    expect(state(scene, 'late')).toMatchObject({ waiting: { reason: 'ImagePullBackOff' } });
    scene.images.push(image);
    await scene.kubelet.imagesChanged();
    await scene.step();
    expect(scene.runtime.calls).toEqual(['start c']);
  });

  it('follows probes: readiness turns the condition, liveness restarts', async () => {
    await using scene = await makeScene();
    const files = new Set(['/ok']);
    // The second run has its file again.
    const first = (): string => [...scene.runtime.configs.keys()][0] as string;
    scene.runtime.exec = (id, [, path = '']) =>
      files.has(path) || (path === '/ok' && id !== first()) ? result(0) : result(1, `no ${path}\n`);
    const probe = (path: string): object => ({
      exec: { command: ['cat', path] },
      periodSeconds: 1,
      failureThreshold: 1,
    });
    await scene.create('probe', {
      containers: [busybox('c', { readinessProbe: probe('/ready'), livenessProbe: probe('/ok') })],
    });
    expect(ready(scene, 'probe')).toBe('False');
    files.add('/ready');
    await scene.step(1_100);
    expect(ready(scene, 'probe')).toBe('True');
    files.delete('/ok');
    await scene.step(1_100);
    expect(scene.runtime.calls).toEqual(['start c', 'stop c 5', 'start c']);
    expect(scene.pod('probe')?.status?.containerStatuses?.[0]?.restartCount).toBe(1);
    expect(scene.events()).toContain('Warning Unhealthy Liveness probe failed: no /ok\n');
    expect(scene.events()).toContain('Normal Killing Container c failed liveness probe, will be restarted');
  });

  it('takes over what runs after a restart and starts nothing twice', async () => {
    await using scene = await makeScene();
    await scene.create('web', { containers: [busybox('c')] });
    const { id } = scene.runtime.named('c');
    await scene.restart();
    expect(scene.runtime.calls).toEqual(['start c']);
    expect(scene.runtime.named('c').id).toBe(id);
    expect(ready(scene, 'web')).toBe('True');
  });

  it('removes pods that were deleted while it was away', async () => {
    await using scene = await makeScene();
    await scene.create('web', { containers: [busybox('c')] });
    const { uid } = scene.pod('web')?.metadata ?? {};
    const other = {
      ...scene.runtime.named('c').labels,
      'io.kubernetes.pod.uid': 'ffffffff-0000-0000-0000-000000000000',
    };
    expect(uid).toBeDefined();
    await scene.runtime.runPodSandbox({ ...scene.runtime.sandboxConfigs[0]!, labels: other });
    await scene.restart();
    expect(scene.runtime.sandboxes.size).toBe(1);
  });

  it('makes a dead sandbox anew and keeps counting restarts', async () => {
    await using scene = await makeScene();
    await scene.create('web', { containers: [busybox('c')] });
    const [sandbox] = [...scene.runtime.sandboxes.values()];
    await scene.runtime.stopPodSandbox(sandbox!.id);
    scene.runtime.exit(scene.runtime.named('c').id, 255);
    await scene.step();
    expect(scene.runtime.calls).toEqual(['start c', 'start c']);
    expect(scene.runtime.sandboxConfigs.map(({ metadata }) => metadata.attempt)).toEqual([0, 1]);
    expect(scene.pod('web')?.status?.containerStatuses?.[0]?.restartCount).toBe(1);
    expect(scene.pod('web')?.status?.podIP).toBe(scene.runtime.sandboxes.get('s2')?.ips[0]);
  });

  it('refuses what does not fit and ends what is past its deadline', async () => {
    await using scene = await makeScene();
    await scene.create('huge', { containers: [busybox('c', { resources: { requests: { cpu: '3' } } })] });
    expect(scene.pod('huge')?.status).toMatchObject({
      phase: 'Failed',
      reason: 'OutOfcpu',
      message: "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000",
    });
    await scene.create('late', { activeDeadlineSeconds: 30, containers: [busybox('c')] });
    await scene.step(31_000);
    expect(scene.pod('late')?.status).toMatchObject({ phase: 'Failed', reason: 'DeadlineExceeded' });
    expect(scene.runtime.calls).toEqual(['start c', 'stop c 5']);
  });

  it('registers the node and renews its lease', async () => {
    await using scene = await makeScene();
    await scene.kubelet.ready;
    const node = scene.api.peek<V1Node>(resources.nodes, 'node1');
    expect(node?.status?.conditions?.at(-1)).toMatchObject({ type: 'Ready', status: 'True', reason: 'KubeletReady' });
    const renewed = (): unknown => scene.api.peek<V1Lease>(resources.leases, 'kube-node-lease/node1')?.spec?.renewTime;
    const before = renewed();
    expect(before).toBeDefined();
    await scene.step(10_100);
    expect(renewed()).not.toBe(before);
  });
});
