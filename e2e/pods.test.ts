import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { busyboxImage, repository, writeDockerArchive } from '@wherry/testkit';
import { describe, expect, it } from 'vitest';
import { eventually } from './eventually.ts';
import { useCluster } from './shared-cluster.ts';

const cluster = useCluster();

/** A pod with one container from a part of its specification in JSON. */
function pod(name: string, container: object, spec: object = {}): string {
  const image = 'busybox:1.35';
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: { terminationGracePeriodSeconds: 0, ...spec, containers: [{ name: 'c', image, ...container }] },
  });
}

const shell = (script: string): { command: string[] } => ({ command: ['sh', '-c', script] });

async function start(name: string, container: object, spec: object = {}): Promise<void> {
  await cluster.it.apply(pod(name, container, spec));
  await cluster.it.mustKubectl(['wait', `pod/${name}`, '--for=condition=Ready', '--timeout=30s']);
}

const read = (name: string, path: string) =>
  cluster.it.mustKubectl(['get', 'pod', name, '-o', `jsonpath={.status.containerStatuses[0]${path}}`]);
const run = (name: string, script: string) => cluster.it.mustKubectl(['exec', name, '--', 'sh', '-c', script]);

describe('limits', () => {
  it('are in the cgroup of the container', async () => {
    const resources = { requests: { cpu: '250m' }, limits: { cpu: '500m', memory: '64Mi' } };
    await start('limited', { command: ['sleep', '3600'], resources });
    const [found] = (await cluster.it.processes()).filter(({ command }) => command === 'sleep 3600');
    const lines = (await readFile(`/proc/${found!.pid}/cgroup`, 'utf8')).split('\n').map((line) => line.split(':'));
    const value = async (controller: string, file: string, unified: string): Promise<string> => {
      const of = lines.find(([, names]) => names?.split(',').includes(controller));
      const path = of
        ? join('/sys/fs/cgroup', controller, of[2]!, file)
        : join('/sys/fs/cgroup', lines[0]![2]!, unified);
      return (await readFile(path, 'utf8')).trim();
    };
    expect(await value('memory', 'memory.limit_in_bytes', 'memory.max')).toBe(String(64 * 1024 * 1024));
    expect(await value('cpu', 'cpu.cfs_quota_us', 'cpu.max')).toMatch(/^50000( 100000)?$/);
    expect(await cluster.it.mustKubectl(['get', 'pod', 'limited', '-o', 'jsonpath={.status.qosClass}'])).toBe(
      'Burstable',
    );
    await cluster.it.mustKubectl(['delete', 'pod', 'limited']);
  });

  it('end what takes too much memory, and say so', async () => {
    const greedy = shell('head -c 200000000 /dev/zero | tail -c 190000000 > /dev/null');
    await cluster.it.apply(
      pod('greedy', { ...greedy, resources: { limits: { memory: '32Mi' } } }, { restartPolicy: 'Never' }),
    );
    await cluster.it.mustKubectl(['wait', 'pod/greedy', '--for=jsonpath={.status.phase}=Failed', '--timeout=30s']);
    expect(await read('greedy', '.state.terminated.reason')).toBe('OOMKilled');
  });
});

describe('volumes', () => {
  it('follow a ConfigMap and a Secret', async () => {
    const k = cluster.it;
    await k.mustKubectl(['create', 'configmap', 'live', '--from-literal=key=one']);
    await k.mustKubectl(['create', 'secret', 'generic', 'rotated', '--from-literal=password=old']);
    const volumes = [
      { name: 'm', configMap: { name: 'live' } },
      { name: 's', secret: { secretName: 'rotated', defaultMode: 0o400 } },
    ];
    const volumeMounts = [
      { name: 'm', mountPath: '/m' },
      { name: 's', mountPath: '/s' },
    ];
    await start('reader', { command: ['sleep', '3600'], volumeMounts }, { volumes });
    expect(await run('reader', 'cat /m/key /s/password')).toBe('oneold');
    expect(await run('reader', 'stat -L -c %a /s/password')).toBe('400\n');
    await k.mustKubectl(['patch', 'configmap', 'live', '-p', '{"data":{"key":"two","more":"x"}}']);
    await k.mustKubectl(['patch', 'secret', 'rotated', '-p', '{"stringData":{"password":"new"}}']);
    await eventually(async () => expect(await run('reader', 'cat /m/key /m/more /s/password')).toBe('twoxnew'));
  });

  it('wait for a ConfigMap that comes later', async () => {
    const k = cluster.it;
    const env = [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'later', key: 'a' } } }];
    await k.apply(pod('early', { ...shell('echo $A; sleep 3600'), env }));
    const reason = 'jsonpath={.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError';
    await k.mustKubectl(['wait', 'pod/early', `--for=${reason}`, '--timeout=20s']);
    await k.mustKubectl(['create', 'configmap', 'later', '--from-literal=a=came']);
    await k.mustKubectl(['wait', 'pod/early', '--for=condition=Ready', '--timeout=30s']);
    await eventually(async () => expect(await k.mustKubectl(['logs', 'early'])).toBe('came\n'));
  });
});

describe('images', () => {
  it('that are missing are told, and taken once they are loaded', async () => {
    const k = cluster.it;
    await k.apply(pod('missing', { image: 'localhost:1/late:v1', command: ['sleep', '3600'] }));
    const waiting = (reason: string) => `--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=${reason}`;
    await k.mustKubectl(['wait', 'pod/missing', waiting('ImagePullBackOff'), '--timeout=30s']);
    expect(await k.mustKubectl(['events', '--for', 'pod/missing'])).toContain(
      'Failed to pull image "localhost:1/late:v1"',
    );
    const archive = join(k.machine.directory, 'late.tar');
    await writeDockerArchive(archive, await busyboxImage(), ['localhost:1/late:v1']);
    await k.load(archive);
    await k.mustKubectl(['wait', 'pod/missing', '--for=condition=Ready', '--timeout=30s']);
  });
});

it('pulls from a registry on loopback', async () => {
  const k = cluster.it;
  const program = join(repository, 'e2e', 'inside', 'registry.ts');
  await using registry = k.machine.start(process.execPath, [join(repository, 'tools', 'run.mjs'), program]);
  const [, host] = await registry.waitFor(/listening on (\S+)\n/);
  await start('pulled', { image: `${host}/some/image:v1`, command: ['sleep', '3600'] });
  expect(await read('pulled', '.imageID')).toMatch(/^127\.0\.0\.1:\d+\/some\/image@sha256:[0-9a-f]{64}$/);
  expect(await k.mustKubectl(['events', '--for', 'pod/pulled'])).toContain(
    `Successfully pulled image "${host}/some/image:v1"`,
  );
  await k.apply(pod('absent', { image: `${host}/some/image:v2` }));
  const waiting = '--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull';
  await k.mustKubectl(['wait', 'pod/absent', waiting, '--timeout=30s']);
  expect(await read('absent', '.state.waiting.message')).toContain('not found');
});

describe('a service account', () => {
  const api = 'https://kubernetes.default.svc/api/v1/namespaces/default/pods/inside';
  // The image has no client that checks certificates: the host's curl inside of the pod's network does.
  async function call(...more: string[]): Promise<{ code: number; body: string }> {
    const k = cluster.it;
    const at = '/var/run/secrets/kubernetes.io/serviceaccount';
    const token = await run('inside', `cat ${at}/token`);
    const ca = join(k.machine.directory, 'pod-ca.crt');
    await k.machine.run('sh', ['-c', `cat > ${ca}`], { input: await run('inside', `cat ${at}/ca.crt`) });
    const [found] = (await k.processes()).filter(({ command }) => command === 'sleep 4141');
    const ip = await k.mustKubectl(['get', 'svc', 'kubernetes', '-o', 'jsonpath={.spec.clusterIP}']);
    const args = ['--net', '-t', String(found!.pid), 'curl', '-s', '--max-time', '5', '--cacert', ca];
    const to = ['--resolve', `kubernetes.default.svc:443:${ip}`, '-w', '\n%{http_code}', ...more, api];
    const ran = await k.machine.run('nsenter', [...args, '-H', `Authorization: Bearer ${token}`, ...to]);
    const lines = ran.stdout.split('\n');
    return { code: Number(lines.pop()), body: lines.join('\n') };
  }

  it('reaches the API from inside; roles decide', async () => {
    const k = cluster.it;
    await start('inside', { command: ['sleep', '4141'] });
    const denied = await call();
    expect(denied.code).toBe(403);
    expect(JSON.parse(denied.body)).toMatchObject({
      reason: 'Forbidden',
      message:
        'pods "inside" is forbidden: User "system:serviceaccount:default:default" cannot get resource "pods" in API group "" in the namespace "default"',
    });
    await k.mustKubectl(['create', 'role', 'pods', '--verb=get', '--resource=pods']);
    await k.mustKubectl(['create', 'rolebinding', 'pods', '--role=pods', '--serviceaccount=default:default']);
    await eventually(async () => expect((await call()).code).toBe(200));
    expect((await call('-X', 'DELETE')).code).toBe(403);
  });

  it('has a token for its pod that ends, and ends with the pod', async () => {
    const token = await run('inside', 'cat /var/run/secrets/kubernetes.io/serviceaccount/token');
    const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;
    expect(claims).toMatchObject({
      sub: 'system:serviceaccount:default:default',
      'kubernetes.io': { namespace: 'default', pod: { name: 'inside' }, serviceaccount: { name: 'default' } },
    });
    expect(Number(claims.exp) - Number(claims.iat)).toBeGreaterThanOrEqual(3607);
    const login = [`--token=${token}`, '--server=https://127.0.0.1:6443', '--insecure-skip-tls-verify'];
    const args = ['auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}', ...login];
    const whoami = () => cluster.it.kubectl(args, { env: { KUBECONFIG: '/dev/null' } });
    expect((await whoami()).stdout).toBe('system:serviceaccount:default:default');
    await cluster.it.mustKubectl(['delete', 'pod', 'inside']);
    expect((await whoami()).stderr).toMatch(/Unauthorized|logged in/);
  });
});

describe('the life of a pod', () => {
  it('backs off when it crashes', async () => {
    const k = cluster.it;
    await k.apply(pod('crash', shell('exit 3')));
    const waiting = '--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff';
    await k.mustKubectl(['wait', 'pod/crash', waiting, '--timeout=20s']);
    expect(await read('crash', '.state.waiting.message')).toMatch(
      /^back-off 10s restarting failed container=c pod=crash_default\(/,
    );
    expect(await read('crash', '.lastState.terminated.exitCode')).toBe('3');
    expect(await read('crash', '.restartCount')).toBe('1');
  });

  it('ends with grace: a signal, then force', async () => {
    const k = cluster.it;
    const spec = { terminationGracePeriodSeconds: 30 };
    await start('polite', shell('trap "echo bye; exit 0" TERM; while :; do sleep 0.05; done'), spec);
    await using logs = k.startKubectl(['logs', '-f', 'polite']);
    // Before its grace is over.
    await k.mustKubectl(['delete', 'pod', 'polite', '--timeout=29s']);
    await logs.waitFor('bye');
    await start('deaf', shell('trap "" TERM; while :; do sleep 0.05; done'), { terminationGracePeriodSeconds: 1 });
    const started = Date.now();
    await k.mustKubectl(['delete', 'pod', 'deaf']);
    expect(Date.now() - started).toBeGreaterThan(900);
  });

  it('shares the network of the node when it asks', async () => {
    await start('host', { command: ['sleep', '3600'] }, { hostNetwork: true });
    const node = await cluster.it.mustKubectl([
      'get',
      'node',
      '-o',
      'jsonpath={.items[0].status.addresses[0].address}',
    ]);
    expect(await cluster.it.mustKubectl(['get', 'pod', 'host', '-o', 'jsonpath={.status.podIP}'])).toBe(node);
    expect(await run('host', 'hostname')).toBe((await cluster.it.machine.run('hostname', [])).stdout);
  });

  it('runs Jobs and CronJobs', async () => {
    const k = cluster.it;
    await k.mustKubectl(['create', 'job', 'once', '--image=busybox:1.35', '--', 'echo', 'done']);
    await k.mustKubectl(['wait', 'job/once', '--for=condition=Complete', '--timeout=30s']);
    expect(await k.mustKubectl(['logs', 'job/once'])).toBe('done\n');
    await k.mustKubectl([
      'create',
      'cronjob',
      'tick',
      '--image=busybox:1.35',
      '--schedule=*/5 * * * *',
      '--',
      'echo',
      'tick',
    ]);
    await k.mustKubectl(['create', 'job', 'now', '--from=cronjob/tick']);
    await k.mustKubectl(['wait', 'job/now', '--for=condition=Complete', '--timeout=30s']);
    await k.mustKubectl(['delete', 'cronjob', 'tick', '--cascade=foreground', '--timeout=30s']);
    await eventually(async () => expect((await k.kubectl(['get', 'job', 'now'])).stderr).toContain('not found'));
    const failing = { backoffLimit: 0, template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'busybox:1.35', command: ['false'] }] } } }; // biome-ignore format: one manifest
    await k.apply(JSON.stringify({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'bad' }, spec: failing }));
    await k.mustKubectl(['wait', 'job/bad', '--for=condition=Failed', '--timeout=30s']);
  });
});
