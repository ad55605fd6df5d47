import { join } from 'node:path';
import { repository } from '@wherry/testkit';
import { expect, it } from 'vitest';
import { useCluster } from './shared-cluster.ts';

const cluster = useCluster();

it('serves @kubernetes/client-node: informer, exec, log, port-forward, watch', async () => {
  const script = join(repository, 'e2e', 'inside', 'client-node.ts');
  const ran = await cluster.it.machine.run(
    process.execPath,
    [join(repository, 'tools', 'run.mjs'), script, cluster.it.kubeconfigPath],
    { timeout: 90_000 },
  );
  expect(ran.stderr).toBe('');
  expect(JSON.parse(ran.stdout)).toEqual({
    phase: 'Running',
    startedIsDate: true,
    events: ['add p'],
    exec: { out: 'got hello\n', err: 'oops\n', status: 'Failure', reason: 'NonZeroExitCode', code: '3' },
    log: 'from the log\n',
    forwarded: '200 OK served',
    available: 2,
    deleted: 'p',
  });
});
