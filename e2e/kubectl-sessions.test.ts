import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sleeper, useCluster } from './shared-cluster.ts';

const cluster = useCluster();

const pod = (name: string, script: string, more = ''): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "busybox:1.35", command: [sh, -c, ${JSON.stringify(script)}]${more}}]
`;

async function start(manifest: string, name: string): Promise<void> {
  await cluster.it.apply(manifest);
  await cluster.it.mustKubectl(['wait', `pod/${name}`, '--for=condition=Ready', '--timeout=30s']);
}

describe('exec and attach on a terminal', () => {
  it('is a shell with the size of the terminal, which follows it', async () => {
    await start(sleeper('shell'), 'shell');
    await using shell = cluster.it.startKubectl(['exec', '-it', 'shell', '--', 'sh'], { tty: true });
    const [, terminal] = await shell.waitFor(/(\/dev\/pts\/\d+)\r\n/);
    await shell.waitFor('# ');
    shell.write('tty\n');
    await shell.waitFor('/dev/pts/0\r\n');
    await cluster.it.machine.run('stty', ['-F', terminal!, 'cols', '101', 'rows', '33']);
    shell.write('\nuntil [ "$(stty size)" = "33 101" ]; do sleep 0.02; done; echo re""sized\n');
    await shell.waitFor('resized');
    await shell.waitFor('# ');
    shell.write('sh -c "echo sta""rted; exec sleep 1000"\n');
    await shell.waitFor('started');
    shell.write('\x03'); // interrupts what runs, not the session
    await shell.waitFor('# ');
    shell.write('exit 6\n');
    expect((await shell.exited).code).toBe(6);
    expect(await cluster.it.mustKubectl(['exec', 'shell', '--', 'ps', '-o', 'args'])).not.toContain('sleep 1000');
  });

  it('attaches to what a container reads and writes, again and again', async () => {
    const script = 'echo up; while read line; do echo "got $line"; [ "$line" = bye ] && exit 4; done; echo eof';
    await start(pod('talk', script, ', stdin: true').replace('spec:', 'spec:\n  restartPolicy: Never'), 'talk');
    for (const word of ['one', 'two']) {
      await using attached = cluster.it.startKubectl(['attach', '-i', 'talk']);
      attached.write(`${word}\n`);
      await attached.waitFor(`got ${word}`);
    }
    await using last = cluster.it.startKubectl(['attach', '-i', 'talk']);
    last.write('bye\n');
    await last.waitFor('got bye');
    await last.exited;
    await cluster.it.mustKubectl(['wait', 'pod/talk', '--for=jsonpath={.status.phase}=Failed', '--timeout=20s']);
    expect(await cluster.it.mustKubectl(['logs', 'talk'])).toBe('up\ngot one\ngot two\ngot bye\n');
  });

  it('runs a pod on a terminal, and removes it', async () => {
    const args = ['run', 'once', '--image=busybox:1.35', '--restart=Never', '--rm', '-it', '--', 'sh'];
    await using ran = cluster.it.startKubectl(args, { tty: true });
    await ran.waitFor('# ', 30_000);
    ran.write('tty; hostname; exit 3\n');
    await ran.waitFor('once\r\n');
    await ran.waitFor('pod "once" deleted');
    expect((await ran.exited).code).toBe(3);
    expect((await cluster.it.kubectl(['get', 'pod', 'once'])).stderr).toContain('not found');
  });

  it('carries a large stream both ways without loss', async () => {
    const size = 20_000_000;
    const ran = await cluster.it.kubectl(['exec', '-i', 'shell', '--', 'sh', '-c', 'cat | wc -c'], {
      input: Buffer.alloc(size, 'x'),
    });
    expect(ran.stdout.trim()).toBe(String(size));
    const got = await cluster.it.mustKubectl(['exec', 'shell', '--', 'head', '-c', String(size), '/dev/zero']);
    expect(got.length).toBe(size);
  });
});

it('copies files and folders both ways', async () => {
  const k = cluster.it;
  const folder = join(k.machine.directory, 'copied', 'deep');
  await mkdir(folder, { recursive: true });
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));
  await writeFile(join(folder, 'data'), bytes);
  await writeFile(join(folder, 'ünïcode name'), 'text');
  await k.mustKubectl(['cp', join(k.machine.directory, 'copied'), 'shell:/tmp/there']);
  expect(await k.mustKubectl(['exec', 'shell', '--', 'cat', '/tmp/there/deep/ünïcode name'])).toBe('text');
  await k.mustKubectl(['cp', 'shell:/tmp/there', join(k.machine.directory, 'back')]);
  expect((await readFile(join(k.machine.directory, 'back', 'deep', 'data'))).equals(bytes)).toBe(true);
});

it('forwards a port to a pod, many connections at once, and says when nothing listens', async () => {
  const k = cluster.it;
  await start(pod('web', 'mkdir /w; head -c 3000000 /dev/zero > /w/big; echo page > /w/index.html; exec httpd -f -p 7000 -h /w', ', readinessProbe: {tcpSocket: {port: 7000}, periodSeconds: 1}'), 'web'); // biome-ignore format: a script
  await using forward = k.startKubectl(['port-forward', 'pod/web', ':7000', ':7001']);
  const [, port] = await forward.waitFor(/127\.0\.0\.1:(\d+) -> 7000/);
  const [, closed] = await forward.waitFor(/127\.0\.0\.1:(\d+) -> 7001/);
  const curl = (url: string) => k.machine.run('curl', ['-s', '--max-time', '10', url]);
  const all = await Promise.all(Array.from({ length: 8 }, () => curl(`http://127.0.0.1:${port}/big`)));
  expect(all.map((ran) => ran.stdout.length)).toEqual(Array(8).fill(3_000_000));
  expect((await curl(`http://127.0.0.1:${port}/`)).stdout).toBe('page\n');
  // The client ends when a connection fails; why it failed comes from the node.
  expect((await curl(`http://127.0.0.1:${closed}/`)).code).not.toBe(0);
  await forward.waitFor(/7001.*refused/i);
  await forward.waitFor('lost connection to pod');
});

it('follows logs over restarts, tells the previous, limits and selects', async () => {
  const k = cluster.it;
  await start(
    pod('counter', 'echo run; while [ ! -e /s/go ]; do sleep 0.1; done; rm /s/go; echo end; exit 2', ', volumeMounts: [{name: s, mountPath: /s}]') + '  volumes: [{name: s, emptyDir: {}}]\n', // biome-ignore format: a script
    'counter',
  );
  await using logs = k.startKubectl(['logs', '-f', 'counter']);
  await logs.waitFor('run\n');
  await k.mustKubectl(['exec', 'counter', '--', 'touch', '/s/go']);
  await logs.waitFor('end\n');
  expect((await logs.exited).code).toBe(0);
  const restarted = 'jsonpath={.status.containerStatuses[0].restartCount}=1';
  await k.mustKubectl(['wait', 'pod/counter', `--for=${restarted}`, '--timeout=20s']);
  expect(await k.mustKubectl(['logs', 'counter', '--previous'])).toBe('run\nend\n');
  expect(await k.mustKubectl(['logs', 'counter'])).toBe('run\n');
  expect(await k.mustKubectl(['logs', 'counter', '--previous', '--tail=1'])).toBe('end\n');
  expect(await k.mustKubectl(['logs', 'counter', '--timestamps'])).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z run\n$/);
  expect(await k.mustKubectl(['logs', 'counter', '--limit-bytes=2'])).toBe('ru');
  expect((await k.kubectl(['logs', 'shell', '--previous'])).stderr).toContain(
    'previous terminated container "c" in pod "shell" not found',
  );
});

it('watches with get -w, and waits', async () => {
  const k = cluster.it;
  await using watch = k.startKubectl(['get', 'configmap', '-w', '-l', 'watched=yes', '--no-headers']);
  await k.mustKubectl(['create', 'configmap', 'seen', '--from-literal=a=1']);
  await k.mustKubectl(['label', 'configmap', 'seen', 'watched=yes']);
  await watch.waitFor(/seen +1 /);
  await k.mustKubectl(['patch', 'configmap', 'seen', '-p', '{"data":{"b":"2"}}']);
  await watch.waitFor(/seen +2 /);
  await using gone = k.startKubectl(['wait', 'configmap/seen', '--for=delete', '--timeout=20s']);
  await k.mustKubectl(['delete', 'configmap', 'seen']);
  expect((await gone.exited).code).toBe(0);
  const late = await k.kubectl(['wait', 'pod/shell', '--for=condition=Nope', '--timeout=1s']);
  expect(late).toMatchObject({ code: 1, stderr: 'error: timed out waiting for the condition on pods/shell\n' });
});

it('edits with the editor of the user, and keeps what is refused', async () => {
  const k = cluster.it;
  await k.mustKubectl(['create', 'configmap', 'edited', '--from-literal=colour=red']);
  const edited = await k.mustKubectl(['edit', 'configmap', 'edited'], { env: { EDITOR: 'sed -i s/red/blue/' } });
  expect(edited).toBe('configmap/edited edited\n');
  expect(await k.mustKubectl(['get', 'cm', 'edited', '-o', 'jsonpath={.data.colour}'])).toBe('blue');
  const same = await k.kubectl(['edit', 'configmap', 'edited'], { env: { EDITOR: 'true' } });
  expect(same.stderr).toContain('Edit cancelled, no changes made.');
  const wrong = await k.kubectl(['edit', 'pod', 'shell'], { env: { EDITOR: 'sed -i s/hostNetwork/x/;s/restartPolicy:.*/restartPolicy:Sometimes/' } }); // biome-ignore format: a script
  expect(wrong.code).toBe(1);
});

it('applies on the server and tells conflicts with their managers', async () => {
  const k = cluster.it;
  const map = (value: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: owned}\ndata: {a: "${value}"}\n`; // biome-ignore format: one manifest
  const apply = (value: string, ...args: string[]) =>
    k.kubectl(['apply', '--server-side', ...args, '-f', '-'], { input: map(value) });
  expect((await apply('1', '--field-manager=one')).stdout).toBe('configmap/owned serverside-applied\n');
  const conflict = await apply('2', '--field-manager=two');
  expect(conflict.code).toBe(1);
  expect(conflict.stderr).toContain('Apply failed with 1 conflict: conflict with "one": .data.a');
  expect((await apply('2', '--field-manager=two', '--force-conflicts')).code).toBe(0);
  expect(await k.mustKubectl(['get', 'cm', 'owned', '-o', 'jsonpath={.data.a}'])).toBe('2');
  // The manager that has lost its last field is gone from the list.
  expect(await k.mustKubectl(['get', 'cm', 'owned', '-o', 'jsonpath={.metadata.managedFields[*].manager}'])).toBe(
    'two',
  );
});

it('says who may do what', async () => {
  const k = cluster.it;
  await k.mustKubectl(['create', 'role', 'reader', '--verb=get,list', '--resource=pods']);
  await k.mustKubectl(['create', 'rolebinding', 'reader', '--role=reader', '--user=jane']);
  const can = async (...args: string[]) => (await k.kubectl(['auth', 'can-i', ...args])).stdout.trim();
  expect(await can('create', 'deployments')).toBe('yes');
  expect(await can('list', 'pods', '--as=jane')).toBe('yes');
  expect(await can('delete', 'pods', '--as=jane')).toBe('no');
  expect(await can('list', 'pods', '--as=jane', '-n', 'kube-system')).toBe('no');
  expect(await can('get', 'secrets', '--as=system:serviceaccount:default:default')).toBe('no');
  const denied = await k.kubectl(['delete', 'pod', 'shell', '--as=jane']);
  expect(denied.stderr).toBe(
    'Error from server (Forbidden): pods "shell" is forbidden: User "jane" cannot delete resource "pods" in API group "" in the namespace "default"\n',
  );
  expect(await k.mustKubectl(['auth', 'can-i', '--list', '--as=jane'])).toMatch(/pods +\[\] +\[\] +\[get list\]/);
});

it('debugs a pod with an ephemeral container', async () => {
  const k = cluster.it;
  const args = ['debug', 'shell', '--image=busybox:1.35', '--target=c', '-c', 'dbg', '--profile=general', '-i', '--', 'sh', '-c', 'read go; echo debugging; ps -o args']; // biome-ignore format: a command line
  await using debug = k.startKubectl(args);
  // What it reads reaches it once the client is attached, which then misses nothing of what it says.
  debug.write('go\n');
  await debug.waitFor('debugging', 30_000);
  await debug.waitFor('sleep 3600');
  await debug.exited;
  const state = 'jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}';
  await k.mustKubectl(['wait', 'pod/shell', `--for=${state}=0`, '--timeout=20s']);
});

it('pauses and resumes a rollout', async () => {
  const k = cluster.it;
  await k.mustKubectl(['create', 'deployment', 'paused', '--image=busybox:1.35', '--', 'sleep', '3600']);
  await k.mustKubectl(['rollout', 'status', 'deploy/paused', '--timeout=30s']);
  await k.mustKubectl(['rollout', 'pause', 'deploy/paused']);
  await k.mustKubectl(['set', 'env', 'deploy/paused', 'A=1']);
  const revision = 'jsonpath={.metadata.annotations.deployment\\.kubernetes\\.io/revision}';
  const observed = 'jsonpath={.status.observedGeneration}=3';
  await k.mustKubectl(['wait', 'deploy/paused', `--for=${observed}`, '--timeout=10s']);
  expect(await k.mustKubectl(['get', 'deploy', 'paused', '-o', revision])).toBe('1');
  await k.mustKubectl(['rollout', 'resume', 'deploy/paused']);
  await k.mustKubectl(['rollout', 'status', 'deploy/paused', '--timeout=30s']);
  expect(await k.mustKubectl(['get', 'deploy', 'paused', '-o', revision])).toBe('2');
  await k.mustKubectl(['delete', 'deploy', 'paused', '--now']);
});
