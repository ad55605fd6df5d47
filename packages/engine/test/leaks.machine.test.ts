import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { mountsBelow } from '@wherry/linux';
import { realRunc, repository } from '@wherry/testkit';
import { expect, test } from 'vitest';
import { createEngine, type Engine } from '../src/index.ts';
import { containerConfig, exitOf, podConfig, recordsOf, type TestMachine, testMachine } from './machine.ts';

const namespaces = { network: 'unmanaged', pid: 'container', ipc: 'pod' } as const;

async function life(engine: Engine, machine: TestMachine, command: string[]): Promise<void> {
  const pod = podConfig(machine, { namespaces, cgroupParent: 'docker' });
  const id = await engine.definePodSandbox(pod);
  const config = containerConfig(command, { id, restartable: true, logPath: `${id}.log` });
  await engine.createContainer(id, config);
  const session = await engine.attachEarly(id, { tty: false, stdin: false, stdout: true, stderr: true });
  session.stdout?.resume();
  session.stderr?.resume();
  await engine.startPodSandbox(id);
  await engine.startContainer(id);
  await engine.stopContainer(id, 0);
  await session.exit;
  await engine.stopPodSandbox(id);
  await engine.removePodSandbox(id);
}

test('two hundred lives leave no descriptor, mount, namespace, cgroup or file', async () => {
  await using machine = testMachine();
  await using engine = await createEngine(machine.options);
  const facts = (): object => ({
    descriptors: readdirSync('/proc/self/fd').length,
    mounts: mountsBelow(machine.folder).length,
    namespaces: readdirSync(join(machine.folder, 'run/namespaces')),
    folders: ['containers', 'sandboxes', 'exits', 'runtime'].flatMap((name) =>
      readdirSync(join(machine.folder, 'run', name)),
    ),
    records: [...recordsOf(machine.folder), ...readdirSync(join(machine.folder, 'root/layers'))],
    held: machine.held.size,
  });
  const rounds = async (count: number): Promise<void> => {
    for (let round = 0; round < count; round++)
      await Promise.all(['true', 'sleep', 'true', 'sleep'].map((name) => life(engine, machine, [name, '1000'])));
    // What nobody waits for comes after the removal.
    await expect.poll(() => JSON.stringify(facts())).not.toMatch(/[0-9a-f]{64}/);
  };
  await rounds(2);
  const before = facts();
  await rounds(48);
  await expect.poll(facts).toEqual(before);
}, 120_000);

test('another runtime by its name', async () => {
  await using machine = testMachine();
  await using engine = await createEngine({
    ...machine.options,
    runtimes: [
      { name: 'crun', path: 'crun', args: [] },
      { name: 'other', path: realRunc(repository), args: [] },
    ],
  });
  const id = await engine.definePodSandbox(podConfig(machine, { namespaces, runtimeHandler: 'other' }));
  const container = await engine.createContainer(id, containerConfig(['sh', '-c', 'exit 4'], { restartable: true }));
  for (let turn = 0; turn < 2; turn++) {
    await engine.startPodSandbox(id);
    await engine.startContainer(container);
    expect(await exitOf(engine, container)).toMatchObject({ exitCode: 4 });
    await engine.stopPodSandbox(id);
  }
  const missing = podConfig(machine, { namespaces, runtimeHandler: 'nosuch' });
  await expect(engine.definePodSandbox(missing)).rejects.toThrow(/no runtime for "nosuch"/);
});
