import { access, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { busyboxImage, createTestCluster, writeDockerArchive } from '@wherry/testkit';
import { describe, expect, it } from 'vitest';
import { eventually } from './eventually.ts';
import { useCluster, webManifest } from './shared-cluster.ts';

describe('a cluster', () => {
  const cluster = useCluster();

  it('tells its state, lists itself, and is up already when started twice', async () => {
    const k = cluster.it;
    const pid = await k.daemonPid();
    const status = await k.wherry(['status']);
    expect(status.code).toBe(0);
    expect(status.stdout).toMatch(/^COMPONENT +STATE +DETAILS\n/);
    expect((await k.wherry(['ls'])).stdout).toMatch(/^NAME +STATE .*\nwherry +ready /);
    expect((await k.wherry(['up', '--quiet'])).code).toBe(0);
    expect(await k.daemonPid()).toBe(pid);
    expect((await k.wherry(['env'])).stdout).toBe(
      `export KUBECONFIG='${k.kubeconfigPath}'\nexport DOCKER_HOST='${k.dockerHost}'\n`,
    );
  });

  it('merges its context into a kubeconfig and leaves the rest alone', async () => {
    const k = cluster.it;
    const path = join(k.machine.directory, 'merged', 'config');
    await mkdir(join(k.machine.directory, 'merged'));
    await writeFile(
      path,
      '# mine\napiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts:\n- name: other # kept\n  context: {cluster: a, user: b}\ncurrent-context: other\n',
    );
    const env = { KUBECONFIG: path };
    expect((await k.wherry(['kubeconfig', '--merge'], { env })).code).toBe(0);
    const contexts = await k.kubectl(['config', 'get-contexts', '-o', 'name'], { env });
    expect(contexts.stdout).toBe('other\nwherry\n');
    expect((await k.kubectl(['get', 'nodes', '-o', 'name'], { env })).stdout).toBe('node/node1\n');
  });

  it('refuses a corrupt image and keeps working', async () => {
    const k = cluster.it;
    const ran = await k.wherry(['load', '-'], { input: Buffer.alloc(4096, 7) });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/^Error: .+/);
    expect((await k.wherry(['load', join(k.machine.directory, 'nowhere.tar')])).stderr).toContain('nowhere.tar');
    expect((await k.wherry(['status'])).code).toBe(0);
  });

  it('refuses objects that are too large, and says so', async () => {
    const k = cluster.it;
    const data = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: large}\ndata: {a: "${'x'.repeat(1_700_000)}"}\n`;
    const ran = await k.kubectl(['create', '-f', '-'], { input: data });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/large|too|limit/i);
    expect((await k.kubectl(['get', 'cm', 'large'])).stderr).toContain('not found');
  });

  it('says that a port is in use, and that a flag is unknown', async () => {
    const k = cluster.it;
    const other = await k.wherry([
      'up',
      '--name',
      'other',
      '--quiet',
      '--api-port',
      '6443',
      '--root-dir',
      join(k.machine.directory, 'other'),
    ]);
    expect(other.code).toBe(1);
    expect(other.stderr).toMatch(/6443/);
    await k.wherry(['down', '--name', 'other', '--purge', '--quiet']);
    expect(await k.wherry(['up', '--nosuch'])).toMatchObject({
      code: 2,
      stderr: "Error: unknown flag: --nosuch\nSee 'wherry up --help'.\n",
    });
  });
});

it('lives beside another one on the same machine', async () => {
  await using one = await createTestCluster();
  await one.loadTestImages();
  const name = ['--name', 'second'];
  const root = join(one.machine.directory, 'second');
  const parent = ['--cgroup-parent', `${one.machine.cgroupParent}-second`];
  const started = await one.wherry(['up', ...name, '--root-dir', root, '--node-name', 'node2', ...parent, '--quiet']);
  expect(started).toMatchObject({ code: 0, stderr: '' });
  const second = { env: { KUBECONFIG: join(root, 'admin.kubeconfig') } };
  try {
    expect((await one.wherry(['ls'])).stdout).toMatch(/^second +ready .*\n(.*\n)*wherry +ready /m);
    expect((await one.kubectl(['get', 'nodes', '-o', 'name'], second)).stdout).toBe('node/node2\n');
    const archive = join(one.machine.directory, 'busybox.tar');
    await writeDockerArchive(archive, await busyboxImage(), ['busybox:1.35']);
    expect((await one.wherry(['load', ...name, archive])).code).toBe(0);
    for (const options of [{}, second]) {
      await one.mustKubectl(['apply', '-f', '-'], { ...options, input: webManifest.replace('nginx:1.22', 'busybox:1.35').replace('ports: [{containerPort: 80}]', 'command: [sh, -c, "mkdir /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w"]').replace('nodePort: 30320', options === second ? 'nodePort: 30321' : 'nodePort: 30320') }); // biome-ignore format: one manifest
      await one.mustKubectl(['rollout', 'status', 'deploy/web', '--timeout=30s'], options);
      const ip = await one.mustKubectl(['get', 'svc', 'web', '-o', 'jsonpath={.spec.clusterIP}'], options);
      await eventually(async () => {
        const served = await one.machine.run('curl', ['-s', '--max-time', '5', `http://${ip}:8080/`]);
        expect(served.stdout).toMatch(/^web-/);
      });
    }
    expect((await one.wherry(['down', ...name, '--quiet'])).code).toBe(0);
    // What was removed of the second is not the first's.
    const served = await one.machine.run('curl', ['-s', '--max-time', '5', 'http://127.0.0.1:30320/']);
    expect(served.stdout).toMatch(/^web-/);
  } finally {
    await one.wherry(['down', ...name, '--purge', '--quiet']);
  }
  await expect(access(root)).rejects.toThrow();
});

it('removes everything with --purge', async () => {
  const cluster = await createTestCluster();
  try {
    const root = join(cluster.machine.directory, 'root');
    await access(root);
    expect((await cluster.wherry(['down', '--purge', '--quiet'])).code).toBe(0);
    await expect(access(root)).rejects.toThrow();
    const status = await cluster.wherry(['status']);
    expect(status).toMatchObject({
      code: 1,
      stderr: 'Error: there is no cluster "wherry"; create it with "wherry up"\n',
    });
  } finally {
    await cluster[Symbol.asyncDispose]();
  }
});
