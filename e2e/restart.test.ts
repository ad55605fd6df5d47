import { expect, it } from 'vitest';
import { sleeper, useCluster, webManifest } from './shared-cluster.ts';

const cluster = useCluster();

/** Facts of a pod that must be the same after the daemon came back. */
const facts =
  '{.metadata.uid} {.status.podIP} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state.running.startedAt}';

const restarts = '{.status.containerStatuses[0].restartCount}';

async function killDaemon(): Promise<void> {
  const pid = await cluster.it.daemonPid();
  process.kill(pid, 'SIGKILL');
  while (alive(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function up(): Promise<void> {
  const ran = await cluster.it.wherry(['up', '--quiet']);
  expect(ran.stderr).toBe('');
  expect(ran.code).toBe(0);
}

async function countSleepers(): Promise<number> {
  const { stdout } = await cluster.it.machine.run('sh', [
    '-c',
    'ls /proc | grep -E "^[0-9]+$" | while read p; do tr "\\0" " " < /proc/$p/cmdline 2>/dev/null; echo; done | grep -c "^sleep 4242 "',
  ]);
  return Number(stdout.trim());
}

it('keeps pods running over a kill -9 and takes them over', async () => {
  const k = cluster.it;
  await k.mustKubectl(['wait', 'sa/default', '--for=create', '--timeout=10s']);
  await k.mustKubectl(['apply', '-f', '-'], { input: sleeper('keep').replace('"3600"', '"4242"') });
  await k.mustKubectl(['wait', 'pod/keep', '--for=condition=Ready', '--timeout=30s']);
  const before = await k.mustKubectl(['get', 'pod', 'keep', '-o', `jsonpath=${facts}`]);
  expect(await countSleepers()).toBe(1);
  await killDaemon();
  expect(await countSleepers()).toBe(1);
  await up();
  await k.mustKubectl(['wait', 'pod/keep', '--for=condition=Ready', '--timeout=30s']);
  expect(await k.mustKubectl(['get', 'pod', 'keep', '-o', `jsonpath=${facts}`])).toBe(before);
  expect(await countSleepers()).toBe(1);
  expect(await k.mustKubectl(['exec', 'keep', '--', 'hostname'])).toBe('keep\n');
});

it('learns the exit code and the log of what ended while it was dead', async () => {
  const k = cluster.it;
  await k.mustKubectl([
    'run',
    'late',
    '--image=busybox:1.35',
    '--restart=Never',
    '--',
    'sh',
    '-c',
    'echo before; sleep 2; echo after; exit 5',
  ]);
  await k.mustKubectl(['wait', 'pod/late', '--for=condition=Ready', '--timeout=30s']);
  await killDaemon();
  await new Promise((resolve) => setTimeout(resolve, 2500)); // the container must end while nobody watches
  await up();
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
  await killDaemon();
  await up();
  await k.mustKubectl(['rollout', 'status', 'deploy/web', '--timeout=60s']);
  const names = await k.mustKubectl(['get', 'pods', '-l', 'app=web', '-o', 'name']);
  expect(names.trim().split('\n')).toHaveLength(8);
  const served = await k.machine.run('curl', ['-s', '--max-time', '5', 'http://127.0.0.1:30320/']);
  expect(served.stdout).toContain('Welcome to nginx!');
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
  await up();
  await k.mustKubectl(['wait', 'pod/keep', '--for=condition=Ready', '--timeout=60s']);
  await k.mustKubectl(['rollout', 'status', 'deploy/web', '--timeout=60s']);
  expect(await k.mustKubectl(['get', 'pod', 'keep', '-o', `jsonpath=${restarts}`])).toBe('1');
  await k.mustKubectl(['wait', 'pod/after-init', '--for=condition=Ready', '--timeout=60s']);
  expect(await k.mustKubectl(['get', 'pod', 'after-init', '-o', `jsonpath=${restarts}`])).toBe('1');
});
