import { realKubectls } from '@wherry/testkit';
import { describe, expect, it } from 'vitest';
import { eventually } from './eventually.ts';
import { sleeper, useCluster, webManifest } from './shared-cluster.ts';

const cluster = useCluster();

describe.each(realKubectls())('kubectl $version', (client) => {
  const namespace = `walk-${client.version.replace('.', '-')}`;
  const run = (args: string[], input?: string) => cluster.it.kubectl(['-n', namespace, ...args], { client, input });
  const must = (args: string[], input?: string) =>
    cluster.it.mustKubectl(['-n', namespace, ...args], { client, input });

  it('runs a pod to its end and reads its log', async () => {
    await cluster.it.mustKubectl(['create', 'namespace', namespace], { client });
    await must(['run', 'hello', '--image=busybox:1.35', '--restart=Never', '--', 'echo', 'hello kubernetes']);
    await must(['wait', 'pod/hello', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=30s']);
    expect(await must(['logs', 'hello'])).toBe('hello kubernetes\n');
    expect(await must(['get', 'pod', 'hello', '--no-headers'])).toMatch(/^hello +0\/1 +Completed +0 +\d+s\n$/);
    await must(['delete', 'pod', 'hello']);
  });

  it('executes, copies, and reports exit codes', async () => {
    await must(['apply', '-f', '-'], sleeper('shell'));
    await must(['wait', 'pod/shell', '--for=condition=Ready', '--timeout=30s']);
    const failing = await run(['exec', 'shell', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
    expect(failing).toMatchObject({ code: 7, stdout: 'out\n' });
    expect(failing.stderr).toBe('err\ncommand terminated with exit code 7\n');
    expect(await must(['exec', '-i', 'shell', '--', 'cat'], 'piped\n')).toBe('piped\n');
    expect(await must(['exec', 'shell', '--', 'hostname'])).toBe('shell\n');
    const missing = await run(['exec', 'shell', '--', 'nosuchcmd']);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain('exec: "nosuchcmd": executable file not found in $PATH');
  });

  it('deploys, serves by name, address and node port, and rolls', async () => {
    await must(['apply', '-f', '-'], webManifest.replace('30320', client.version === '1.36' ? '30320' : '30321'));
    expect(await must(['rollout', 'status', 'deploy/web', '--timeout=30s'])).toContain('successfully rolled out');
    const names = ['web', `web.${namespace}`, `web.${namespace}.svc.cluster.local`];
    for (const name of names)
      await eventually(async () =>
        expect(await must(['exec', 'shell', '--', 'wget', '-qO-', `http://${name}:8080/`])).toContain(
          'Welcome to nginx!',
        ),
      );
    const clusterIp = await must(['get', 'svc', 'web', '-o', 'jsonpath={.spec.clusterIP}']);
    const nodeIp = await must(['get', 'node', '-o', 'jsonpath={.items[0].status.addresses[0].address}']);
    const nodePort = await must(['get', 'svc', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}']);
    for (const url of [`http://${clusterIp}:8080/`, `http://${nodeIp}:${nodePort}/`, `http://127.0.0.1:${nodePort}/`]) {
      const got = await cluster.it.machine.run('curl', ['-s', '--max-time', '5', url]);
      expect(got.stdout, url).toContain('Welcome to nginx!');
    }
    await must(['set', 'env', 'deploy/web', 'A=1']);
    await must(['rollout', 'status', 'deploy/web', '--timeout=30s']);
    await must(['rollout', 'undo', 'deploy/web']);
    await must(['rollout', 'status', 'deploy/web', '--timeout=30s']);
    expect(await must(['get', 'deploy', 'web', '-o', 'jsonpath={.spec.template.spec.containers[0].env}'])).toBe('');
  });

  it('explains, diffs and refuses what is wrong', async () => {
    expect(await must(['explain', 'pod.spec.restartPolicy'])).toContain('FIELD: restartPolicy <string>');
    const unknown = await run(['apply', '-f', '-'], sleeper('bad').replace('containers:', 'contaners:'));
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain('unknown field "spec.contaners"');
    const wrong = await run(['apply', '-f', '-'], sleeper('Bad_Name'));
    expect(wrong.stderr).toContain('metadata.name: Invalid value: "Bad_Name"');
    const broken = await run(['apply', '-f', '-'], 'apiVersion: v1\nkind: [');
    expect(broken.code).toBe(1);
    expect((await run(['diff', '-f', '-'], sleeper('shell'))).code).toBe(0);
    const huge = await run(['create', 'configmap', 'huge', '--from-literal=a=' + 'x'.repeat(100)], undefined);
    expect(huge.code).toBe(0);
  });

  it('removes a namespace with all that is in it', async () => {
    await cluster.it.mustKubectl(['delete', 'namespace', namespace, '--timeout=60s'], { client, timeout: 70_000 });
    expect((await run(['get', 'pods'])).stderr).toContain('No resources found');
  });
});
