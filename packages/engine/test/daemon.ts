// Runs an engine in a process of its own, for tests that kill it: argv has the folders, the cgroup and a scenario.
import { containerConfig, engineOf, podConfigIn } from './machine.ts';

const [folder, cgroupParent, scenario] = process.argv.slice(2) as [string, string, string];
const engine = await engineOf(folder, cgroupParent);
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
  process.stdout.write(JSON.stringify({ sandbox: sandbox.id, long, short }) + '\n');
} else {
  // Killed by the parent at any moment of this.
  process.stdout.write(JSON.stringify({ sandbox: sandbox.id, long, short }) + '\n');
  await engine.startContainer(long);
}
setInterval(() => undefined, 1000);
