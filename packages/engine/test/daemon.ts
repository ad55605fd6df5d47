// Runs an engine in a process of its own, for tests that kill it: argv has the folders, the cgroup and a scenario.
import { systemClock, VirtualClock } from '@wherry/base';
import { containerConfig, engineOf, exitOf, podConfigIn } from './machine.ts';

const [folder, cgroupParent, scenario] = process.argv.slice(2) as [string, string, string];
// What waits for somebody waits for ever.
const clock = scenario === 'anticipating' ? new VirtualClock() : systemClock;
const engine = await engineOf(folder, cgroupParent, clock);
const say = (ids: object): boolean => process.stdout.write(`${JSON.stringify(ids)}\n`);

if (scenario === 'cycling' || scenario === 'removing') {
  const id = 'a'.repeat(64);
  const namespaces = { network: 'unmanaged', pid: 'container', ipc: 'pod' } as const;
  await engine.definePodSandbox(podConfigIn(folder, { id, namespaces, cgroupParent: 'docker' }));
  const config = containerConfig(['sh', '-c', 'echo once >> /count'], { id, restartable: true });
  await engine.createContainer(id, config);
  if (scenario === 'removing') {
    await engine.startPodSandbox(id);
    await engine.startContainer(id);
    say({ sandbox: id, long: id, short: id });
    await engine.removePodSandbox(id);
  } else {
    // Killed by the parent at any moment of this.
    say({ sandbox: id, long: id, short: id });
    for (;;) {
      await engine.startPodSandbox(id);
      await engine.startContainer(id);
      await exitOf(engine, id);
      await engine.stopPodSandbox(id);
    }
  }
} else {
  const sandbox = await engine.runPodSandbox(podConfigIn(folder));
  const long = await engine.createContainer(
    sandbox.id,
    containerConfig(['sh', '-c', 'echo once >> /count; exec sleep 1000']),
  );
  const short = await engine.createContainer(
    sandbox.id,
    containerConfig(['sh', '-c', 'sleep 0.5; exit 42'], { logPath: 'short/0.log' }),
  );
  if (scenario === 'running') {
    await engine.startContainer(long);
    await engine.startContainer(short);
    say({ sandbox: sandbox.id, long, short });
  } else if (scenario === 'anticipating') {
    await engine.startContainer(long);
    engine.anticipateExec(long, { tty: false, stdin: true, stdout: true, stderr: true });
    setImmediate(() => say({ sandbox: sandbox.id, long, short }));
  } else {
    // Killed by the parent at any moment of this.
    say({ sandbox: sandbox.id, long, short });
    await engine.startContainer(long);
  }
}
setInterval(() => undefined, 1000);
