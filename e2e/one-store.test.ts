import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { eventually } from './eventually.ts';
import { useCluster } from './shared-cluster.ts';

const cluster = useCluster({ upArgs: ['--registry'] });
const classic = { env: { DOCKER_BUILDKIT: '0' } };

it('runs as a pod at once what docker has built; nothing is loaded or pushed', async () => {
  const k = cluster.it;
  const context = join(k.machine.directory, 'context');
  await mkdir(context);
  await writeFile(join(context, 'greeting'), 'from the build\n');
  const lines = [
    'FROM busybox:1.35',
    'COPY greeting /greeting',
    'RUN wc -c < /greeting > /size',
    'CMD cat /greeting /size',
  ];
  await writeFile(join(context, 'Dockerfile'), `${lines.join('\n')}\n`);
  // Without a tag: the policy is Always, and no registry knows it.
  await k.mustDocker(['build', '-t', 'greeter', context], classic);
  await k.mustKubectl(['run', 'greeter', '--image=greeter', '--restart=Never']);
  await k.mustKubectl(['wait', 'pod/greeter', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=30s']);
  expect(await k.mustKubectl(['logs', 'greeter'])).toBe('from the build\n15\n');
  // The same image, by both.
  const id = (await k.mustDocker(['inspect', '--format', '{{.Id}}', 'greeter'])).trim();
  const used = ['get', 'pod', 'greeter', '-o', 'jsonpath={.status.containerStatuses[0].imageID}'];
  expect(await k.mustKubectl(used)).toContain(id.slice('sha256:'.length));
});

it('starts a pod that waits for its image once docker has built it', async () => {
  const k = cluster.it;
  await k.mustKubectl(['run', 'waiting', '--image=later:1', '--image-pull-policy=Never', '--', 'sleep', '600']);
  const waiting = '--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImageNeverPull';
  await k.mustKubectl(['wait', 'pod/waiting', waiting, '--timeout=20s']);
  await k.mustDocker(['build', '-t', 'later:1', '-'], { ...classic, input: 'FROM busybox:1.35\nENV A=1\n' });
  await k.mustKubectl(['wait', 'pod/waiting', '--for=condition=Ready', '--timeout=20s']);
});

it('lists containers of pods only when asked, and runs docker containers beside them', async () => {
  const k = cluster.it;
  await k.mustDocker(['run', '-d', '--name', 'beside', 'busybox:1.35', 'sleep', '600']);
  await k.mustKubectl(['run', 'listed', '--image=busybox:1.35', '--', 'sleep', '600']);
  await k.mustKubectl(['wait', 'pod/listed', '--for=condition=Ready', '--timeout=20s']);
  expect(await k.mustDocker(['ps', '--format', '{{.Names}}'])).toBe('beside\n');
  const label = 'label=io.kubernetes.pod.name=listed';
  const shown = await k.mustDocker(['ps', '--filter', label, '--format', '{{.Names}} {{.State}}']);
  expect(shown).toMatch(/^k8s_listed_listed_default_\S+_0 running\n$/);
  const refused = await k.docker(['rmi', 'busybox:1.35']);
  expect(refused).toMatchObject({ code: 1 });
  await k.mustDocker(['rm', '-f', 'beside']);
  // A pod's image cannot be taken from below it, either.
  const used = await k.docker(['rmi', '-f', 'greeter']);
  expect(used.code === 0 || /in use|being used|is using/.test(used.stderr)).toBe(true);
  expect(await k.mustKubectl(['exec', 'listed', '--', 'echo', 'still here'])).toBe('still here\n');
});

it('gives a port of the machine to a container or to a pod, and says who has it', async () => {
  const k = cluster.it;
  await k.mustDocker(['run', '-d', '--name', 'web', '-p', '18080:80', 'busybox:1.35', 'sleep', '600']);
  const pod = { containers: [{ name: 'c', image: 'busybox:1.35', command: ['sleep', '600'] }] };
  const [container] = pod.containers;
  const ports = [{ containerPort: 80, hostPort: 18080 }];
  const overrides = JSON.stringify({
    spec: { containers: [{ ...container, ports }], terminationGracePeriodSeconds: 0 },
  });
  await k.mustKubectl(['run', 'port', '--image=busybox:1.35', '--overrides', overrides]);
  const why = 'host port 18080/TCP is in use by container web';
  await eventually(async () => {
    expect(await k.mustKubectl(['get', 'events', '--field-selector', 'involvedObject.name=port'])).toContain(why);
  });
  await k.mustDocker(['rm', '-f', 'web']);
  await k.mustKubectl(['wait', 'pod/port', '--for=condition=Ready', '--timeout=30s']);
  const refused = await k.docker(['run', '--rm', '-p', '18080:80', 'busybox:1.35', 'true']);
  expect(refused).toMatchObject({ code: 125 });
  expect(refused.stderr).toContain('port is already allocated: it is a host port of pod default/port');
});

it('gives a port of the machine to a container or to a service, and says who has it', async () => {
  const k = cluster.it;
  const create = (name: string, ...more: string[]) =>
    k.kubectl(['create', 'service', 'nodeport', name, '--tcp=80', ...more]);
  expect(await create('first', '--node-port=30444')).toMatchObject({ code: 0 });
  const why = 'port is already allocated: it is a host port of service default/first';
  await eventually(async () => {
    const refused = await k.docker(['run', '--rm', '-p', '30444:80', 'busybox:1.35', 'true']);
    expect([refused.code, refused.stderr]).toEqual([125, expect.stringContaining(why)]);
  });
  await k.mustDocker([
    'run',
    '-d',
    '--name',
    'web',
    '-p',
    '30445:80',
    '-p',
    '30444:80/udp',
    'busybox:1.35',
    'sleep',
    '600',
  ]);
  const second = await create('second', '--node-port=30445');
  expect(second.code).toBe(1);
  expect(second.stderr).toContain(
    'spec.ports[0].nodePort: Invalid value: 30445: provided port is already allocated: container web publishes it',
  );
  // What is there stays as it is.
  await k.mustKubectl(['label', 'service', 'first', 'a=b']);
  await k.mustDocker(['rm', '-f', 'web']);
  expect(await create('second', '--node-port=30445')).toMatchObject({ code: 0 });
  await k.mustKubectl(['delete', 'service', 'first', 'second']);
});

it('runs as a pod what docker has pushed to the registry in the daemon', async () => {
  const k = cluster.it;
  const name = '127.0.0.1:5000/pods/app:1';
  await k.mustDocker(['tag', 'busybox:1.35', name]);
  await k.mustDocker(['push', '-q', name]);
  await k.mustDocker(['rmi', name]);
  await k.mustKubectl([
    'run',
    'pushed',
    `--image=${name}`,
    '--image-pull-policy=Always',
    '--restart=Never',
    '--',
    'echo',
    'hi',
  ]);
  await k.mustKubectl(['wait', 'pod/pushed', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=30s']);
  expect(await k.mustKubectl(['logs', 'pushed'])).toBe('hi\n');
  const { stdout } = await k.wherry(['status']);
  expect(stdout).toMatch(/registry +\S+ +http:\/\/127\.0\.0\.1:5000/);
});
