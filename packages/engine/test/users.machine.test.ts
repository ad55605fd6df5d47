import { chmodSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createEngine } from '../src/index.ts';
import { containerConfig, podConfig, testMachine } from './machine.ts';

test('users of its own: root is nobody on the machine, the image’s files are its own', async () => {
  await using machine = testMachine();
  await using engine = await createEngine(machine.options);
  chmodSync(machine.folder, 0o711);
  const mappings = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
  const user = { uidMappings: mappings, gidMappings: mappings };
  const namespaces = { network: 'unmanaged', pid: 'container', ipc: 'pod', user } as const;
  const sandbox = await engine.definePodSandbox(podConfig(machine, { namespaces, cgroupParent: 'docker' }));
  await engine.startPodSandbox(sandbox);
  try {
    const id = await engine.createContainer(sandbox, containerConfig(['sleep', '1000'], { restartable: true }));
    await engine.startContainer(id);
    const script =
      'id -u; cat /proc/self/uid_map; ls -ln / | grep bin; echo x > /made; chown 5:6 /made; ls -ln /made; hostname';
    const { stdout } = await engine.execSync(id, ['sh', '-c', script], 10);
    const lines = stdout.toString().split('\n');
    const words = lines.map((line) => line.trim().replace(/\s+/g, ' '));
    expect(words[0]).toBe('0');
    expect(words[1]).toBe('0 100000 65536');
    expect(words[2]).toMatch(/^drwxr-xr-x 2 0 0 .* bin$/);
    expect(words[3]).toMatch(/^-rw-r--r-- 1 5 6 /);
    expect(words[4]).toBe('pod-host');
  } finally {
    await engine.removePodSandbox(sandbox);
  }
});
