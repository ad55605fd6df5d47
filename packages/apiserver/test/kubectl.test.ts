import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiServer } from '@wherry/apiserver';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startServer } from './cluster.ts';
import { fakeStreams, textOf } from './fake-streams.ts';

const kubectl = '/usr/bin/kubectl';
const present = (() => {
  try {
    accessSync(kubectl, constants.X_OK);
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!present)('real kubectl', () => {
  let server: ApiServer;
  let folder: string;
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    const streams = fakeStreams({
      both: async ({ stdout, stderr }) => {
        stdout.write('out\n');
        stderr.write('err\n');
        return 7;
      },
      cat: async ({ stdin, stdout }) => {
        stdout.write(await textOf(stdin));
        return 0;
      },
    });
    server = await startServer({ streamsOf: () => streams });
    const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
    folder = mkdtempSync(join(tmpdir(), 'kubectl-'));
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: `https://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'u', user: { token: 'admin' } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'c',
    };
    writeFileSync(join(folder, 'config'), JSON.stringify(config));
    environment = { PATH: '/usr/bin:/bin', HOME: folder, KUBECONFIG: join(folder, 'config') };
  });

  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  function run(
    args: string,
    input = '',
    more: NodeJS.ProcessEnv = {},
  ): Promise<{ code: number; out: string; err: string }> {
    return new Promise((resolve) => {
      const child = execFile(kubectl, args.split(' '), { env: { ...environment, ...more } }, (error, out, err) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
      );
      child.stdin!.end(input);
    });
  }

  const manifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1.22", ports: [{containerPort: 80}]}]}
`;

  test('creates with typed commands, whose bodies are protobuf', async () => {
    expect((await run('create configmap x --from-literal=a=b')).out).toBe('configmap/x created\n');
    expect((await run('create configmap x --from-literal=a=b')).err).toBe(
      'error: failed to create configmap: configmaps "x" already exists\n',
    );
    expect((await run('create deployment two --image=nginx:1.22 --replicas=2 --port=80')).code).toBe(0);
    const path = '{.spec.replicas} {.spec.template.spec.containers[0].ports[0].containerPort} {.metadata.labels.app}';
    expect((await run('get deploy two -o jsonpath=' + path.replaceAll(' ', ','))).out).toBe('2,80,two');
    expect((await run('create token none')).err).toContain('serviceaccounts "none" not found');
  });

  test('applies, scales, labels, patches, compares and deletes', async () => {
    expect((await run('apply -f -', manifest)).out).toBe('deployment.apps/web created\n');
    expect((await run('apply -f -', manifest)).out).toBe('deployment.apps/web unchanged\n');
    expect((await run('scale deploy web --replicas=5')).out).toBe('deployment.apps/web scaled\n');
    const diff = await run('diff -f -', manifest);
    expect(diff.code).toBe(1);
    expect(diff.out).toContain('-  replicas: 5\n+  replicas: 2\n');
    expect((await run('label deploy web team=a')).out).toBe('deployment.apps/web labeled\n');
    expect((await run('get deploy -l team=a -o name')).out).toBe('deployment.apps/web\n');
    expect((await run('get deploy web')).out).toMatch(
      /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0\/5 +0 +0 +\d+s\n$/,
    );
    const conflict = await run('apply --server-side -f -', manifest);
    expect(conflict.err).toContain('.spec.replicas');
    expect((await run('apply --server-side --force-conflicts -f -', manifest)).out).toBe(
      'deployment.apps/web serverside-applied\n',
    );
    expect((await run('delete deploy web')).out).toBe('deployment.apps "web" deleted\n');
    expect((await run('get deploy web')).err).toBe('Error from server (NotFound): deployments.apps "web" not found\n');
  });

  test('explains', async () => {
    const { out } = await run('explain deployment.spec.strategy');
    expect(out).toContain('FIELD: strategy <DeploymentStrategy>');
    expect((await run('explain nosuch')).err).toContain(`the server doesn't have a resource type "nosuch"`);
  });

  describe('streams', () => {
    beforeAll(async () => {
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'p' },
        spec: { nodeName: 'n', containers: [{ name: 'c', image: 'x' }] },
      };
      await run('create -f -', JSON.stringify(pod));
      await run('patch pod p --subresource=status -p {"status":{"phase":"Running"}}');
    });

    test.each(['true', 'false'])('exec, with WebSocket: %s', async (sockets) => {
      const more = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: sockets };
      const result = await run('exec p -- both', '', more);
      expect(result).toEqual({ code: 7, out: 'out\n', err: 'err\ncommand terminated with exit code 7\n' });
      expect((await run('exec -i p -- cat', 'piped', more)).out).toBe('piped');
      expect((await run('exec p -c nope -- cat', '', more)).err).toBe(
        'Error from server (BadRequest): container nope is not valid for pod p\n',
      );
      expect((await run('exec p -- nosuch', '', more)).err).toMatch(/^error: Internal error occurred: .*nosuch/);
    });

    test.each(['true', 'false'])('port-forward, with WebSocket: %s', async (sockets) => {
      const child = spawn(kubectl, ['port-forward', 'pod/p', ':80'], {
        env: { ...environment, KUBECTL_PORT_FORWARD_WEBSOCKETS: sockets },
      });
      try {
        const [first] = (await once(child.stdout, 'data')) as [Buffer];
        const port = Number(/127\.0\.0\.1:(\d+)/.exec(first.toString())![1]);
        const socket = connect(port, '127.0.0.1');
        const text = textOf(socket);
        socket.end('hello'.repeat(1000));
        expect(await text).toBe('HELLO'.repeat(1000));
      } finally {
        child.kill();
        await once(child, 'exit');
      }
    });

    test('logs', async () => {
      expect((await run('logs p --tail=3')).out).toBe('log of c tail=3\n');
    });
  });
});
