import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { sleeper, useCluster } from './shared-cluster.ts';

const cluster = useCluster();

const deployment = (replicas: number): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: many}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: many}}
  template:
    metadata: {labels: {app: many}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: "busybox:1.35", command: [sleep, "4242"]}]
`;

async function commands(text: string): Promise<number> {
  return (await cluster.it.processes()).filter(({ command }) => command === text).length;
}

/** Name, restarts and readiness of the pods of the deployment. */
async function pods(): Promise<string[]> {
  const columns = '{range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}{"\\n"}{end}'; // biome-ignore format: a template
  const text = await cluster.it.mustKubectl(['get', 'pods', '-l', 'app=many', '-o', `jsonpath=${columns}`]);
  return text.trim().split('\n').filter(Boolean);
}

// Moments that fall into different steps of a start: sandbox, network, image, monitor, start, status.
const moments = [40, 110, 200, 330, 520, 800];

describe('kill -9 of the daemon', () => {
  it.each(moments)('%d ms into the start and the end of 20 pods', async (moment) => {
    const k = cluster.it;
    await k.apply(deployment(20));
    await setTimeout(moment); // the point is to cut it anywhere
    await k.killDaemon();
    await k.startAgain();
    await k.mustKubectl(['rollout', 'status', 'deploy/many', '--timeout=60s'], { timeout: 70_000 });
    expect(await pods()).toEqual(Array(20).fill(expect.stringMatching(/^many-\S+ 0 true$/)));
    expect(await commands('sleep 4242')).toBe(20);
    await k.mustKubectl(['scale', 'deploy/many', '--replicas=0']);
    await setTimeout(moment / 2);
    await k.killDaemon();
    await k.startAgain();
    await k.mustKubectl(['wait', 'pods', '-l', 'app=many', '--for=delete', '--timeout=60s'], { timeout: 70_000 });
    expect(await commands('sleep 4242')).toBe(0);
  });

  it('loses no object that was acknowledged', async () => {
    const k = cluster.it;
    const pid = await k.daemonPid();
    // More than can be made before the kill comes.
    const maps = Array.from({ length: 5000 }, (_, index) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept-${index}}\n`); // biome-ignore format: one manifest
    await using creating = k.startKubectl(['create', '-f', '-']);
    creating.write(maps.join('---\n'));
    creating.end();
    await creating.waitFor('configmap/kept-50 created');
    process.kill(pid, 'SIGKILL');
    await k.daemonEnded(pid);
    // It has heard all answers that there are.
    await creating.waitFor(/refused|EOF|reset/);
    creating.kill('SIGKILL');
    const { stdout } = await creating.exited;
    const acknowledged = stdout.split('\n').filter(Boolean).map((line) => line.split(' ')[0]!); // biome-ignore format: a chain
    expect(acknowledged.length).toBeGreaterThan(50);
    expect(acknowledged.length).toBeLessThan(maps.length);
    await k.startAgain();
    const there = (await k.mustKubectl(['get', 'cm', '-o', 'name'])).split('\n');
    expect(acknowledged.filter((name) => !there.includes(name))).toEqual([]);
  });
});

describe('kill -9 of', () => {
  const status = '{.status.containerStatuses[0]';

  /** Starts a pod that sleeps that long; gives its container's process and monitor. */
  async function start(name: string, seconds: number): Promise<{ process: number; monitor: number }> {
    const k = cluster.it;
    await k.apply(sleeper(name).replace('"3600"', `"${seconds}"`));
    await k.mustKubectl(['wait', `pod/${name}`, '--for=condition=Ready', '--timeout=20s']);
    const id = await k.mustKubectl(['get', 'pod', name, '-o', `jsonpath=${status}.containerID}`]);
    const all = await k.processes();
    const only = (wanted: (command: string) => boolean): number => {
      const found = all.filter(({ command }) => wanted(command));
      expect(found).toHaveLength(1);
      return found[0]!.pid;
    };
    return {
      process: only((command) => command === `sleep ${seconds}`),
      monitor: only((command) => command.includes(id.replace('wherry://', ''))),
    };
  }

  async function expectStartedAgain(name: string, seconds: number): Promise<void> {
    const k = cluster.it;
    await k.mustKubectl(['wait', `pod/${name}`, `--for=jsonpath=${status}.restartCount}=1`, '--timeout=30s']);
    await k.mustKubectl(['wait', `pod/${name}`, '--for=condition=Ready', '--timeout=30s']);
    expect(await commands(`sleep ${seconds}`)).toBe(1);
    expect(await k.mustKubectl(['exec', name, '--', 'hostname'])).toBe(`${name}\n`);
  }

  it('a process in a container: it starts again', async () => {
    const victim = await start('victim', 777);
    process.kill(victim.process, 'SIGKILL');
    await expectStartedAgain('victim', 777);
    const last = `jsonpath=${status}.lastState.terminated.exitCode}`;
    expect(await cluster.it.mustKubectl(['get', 'pod', 'victim', '-o', last])).toBe('137');
  });

  it('its monitor: the container is ended and starts again, once', async () => {
    const watched = await start('watched', 778);
    process.kill(watched.monitor, 'SIGKILL');
    await expectStartedAgain('watched', 778);
  });

  it('both while the daemon is dead', async () => {
    const unseen = await start('unseen', 779);
    await cluster.it.killDaemon();
    process.kill(unseen.process, 'SIGKILL');
    process.kill(unseen.monitor, 'SIGKILL');
    await cluster.it.startAgain();
    await expectStartedAgain('unseen', 779);
  });
});
