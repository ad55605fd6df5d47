import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { eventually } from './eventually.ts';
import { sleeper, useCluster, webManifest } from './shared-cluster.ts';

const cluster = useCluster();

/** Facts of a pod that must be the same after the daemon came back. */
const facts =
  '{.metadata.uid} {.status.podIP} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state.running.startedAt}';

const restarts = '{.status.containerStatuses[0].restartCount}';

/** Processes of the cluster with these letters in their command line. */
async function count(letters: string): Promise<number> {
  return (await cluster.it.processes()).filter(({ command }) => command.includes(letters)).length;
}

const countSleepers = (): Promise<number> => count('sleep 4242');

it('keeps pods running over a kill -9 and takes them over', async () => {
  const k = cluster.it;
  await k.mustKubectl(['wait', 'sa/default', '--for=create', '--timeout=10s']);
  await k.mustKubectl(['apply', '-f', '-'], { input: sleeper('keep').replace('"3600"', '"4242"') });
  await k.mustKubectl(['wait', 'pod/keep', '--for=condition=Ready', '--timeout=30s']);
  const before = await k.mustKubectl(['get', 'pod', 'keep', '-o', `jsonpath=${facts}`]);
  expect(await countSleepers()).toBe(1);
  await k.killDaemon();
  expect(await countSleepers()).toBe(1);
  await k.startAgain();
  await k.mustKubectl(['wait', 'pod/keep', '--for=condition=Ready', '--timeout=30s']);
  expect(await k.mustKubectl(['get', 'pod', 'keep', '-o', `jsonpath=${facts}`])).toBe(before);
  expect(await countSleepers()).toBe(1);
  expect(await k.mustKubectl(['exec', 'keep', '--', 'hostname'])).toBe('keep\n');
});

it('learns the exit code and the log of what ended while it was dead', async () => {
  const k = cluster.it;
  const signals = join(k.machine.directory, 'signals');
  await mkdir(signals);
  await k.apply(`
apiVersion: v1
kind: Pod
metadata: {name: late}
spec:
  restartPolicy: Never
  volumes: [{name: signals, hostPath: {path: ${signals}}}]
  containers:
  - name: c
    image: busybox:1.35
    command: [sh, -c, "echo before; until [ -e /signals/go ]; do sleep 0.05; done; echo after; exit 5"]
    volumeMounts: [{name: signals, mountPath: /signals}]
`);
  await k.mustKubectl(['wait', 'pod/late', '--for=condition=Ready', '--timeout=30s']);
  await k.killDaemon();
  await writeFile(join(signals, 'go'), '');
  await eventually(async () => expect(await count('/signals/go')).toBe(0));
  await k.startAgain();
  await k.mustKubectl(['wait', 'pod/late', '--for=jsonpath={.status.phase}=Failed', '--timeout=30s']);
  expect(
    await k.mustKubectl([
      'get',
      'pod',
      'late',
      '-o',
      'jsonpath={.status.containerStatuses[0].state.terminated.exitCode}',
    ]),
  ).toBe('5');
  expect(await k.mustKubectl(['logs', 'late'])).toBe('before\nafter\n');
});

it('goes on with a rollout in which it was killed', async () => {
  const k = cluster.it;
  await k.mustKubectl(['apply', '-f', '-'], { input: webManifest.replace('replicas: 2', 'replicas: 8') });
  await k.killDaemon();
  await k.startAgain();
  await k.mustKubectl(['rollout', 'status', 'deploy/web', '--timeout=60s']);
  const names = await k.mustKubectl(['get', 'pods', '-l', 'app=web', '-o', 'name']);
  expect(names.trim().split('\n')).toHaveLength(8);
  await eventually(async () => {
    const served = await k.machine.run('curl', ['-s', '--max-time', '5', 'http://127.0.0.1:30320/']);
    expect(served.stdout).toContain('Welcome to nginx!');
  });
});

it('brings everything back after a down without purge', async () => {
  const k = cluster.it;
  const slow = 'initContainers: [{name: i, image: "busybox:1.35", command: [sleep, "0.3"]}]';
  await k.mustKubectl(['apply', '-f', '-'], {
    input: sleeper('after-init').replace('  containers:', `  ${slow}\n  containers:`),
  });
  await k.mustKubectl(['wait', 'pod/after-init', '--for=condition=Ready', '--timeout=30s']);
  const down = await k.wherry(['down', '--quiet']);
  expect(down).toMatchObject({ code: 0, stderr: '' });
  expect(await countSleepers()).toBe(0);
  expect((await k.wherry(['status'])).code).toBe(1);
  await k.startAgain();
  await k.mustKubectl(['wait', 'pod/keep', '--for=condition=Ready', '--timeout=60s']);
  await k.mustKubectl(['rollout', 'status', 'deploy/web', '--timeout=60s']);
  expect(await k.mustKubectl(['get', 'pod', 'keep', '-o', `jsonpath=${restarts}`])).toBe('1');
  await k.mustKubectl(['wait', 'pod/after-init', '--for=condition=Ready', '--timeout=60s']);
  expect(await k.mustKubectl(['get', 'pod', 'after-init', '-o', `jsonpath=${restarts}`])).toBe('1');
});
