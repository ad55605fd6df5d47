import { connect, watchLines } from './api-connection.ts';
import { type Measure, median, quantile } from './report.ts';

interface Pod {
  readonly metadata: { readonly name: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

// It ends at once on SIGTERM, so that a delete measures the way of a graceful one and no grace period.
const command = ['sh', '-c', 'trap "exit 0" TERM; sleep 3600 & wait'];
const container = { name: 'c', image: 'busybox:1.35', imagePullPolicy: 'IfNotPresent', command };

/** Pods from the create to Ready as a watcher sees it; a Deployment of 30 from the scale to all Ready. */
export async function measurePods(kubeconfig: string, floorMs: number): Promise<Measure[]> {
  const api = await connect(kubeconfig, 8);
  const base = '/api/v1/namespaces/default/pods';
  const ready = new Set<string>();
  const present = new Set<string>();
  let wake = (): void => undefined;
  const { metadata } = await api.json<{ metadata: { resourceVersion: string } }>('GET', base);
  const stream = await api.stream(`${base}?watch=1&resourceVersion=${metadata.resourceVersion}`);
  void (async () => {
    for await (const line of watchLines(stream)) {
      const { type, object } = JSON.parse(line) as { type: string; object: Pod };
      const name = object.metadata?.name;
      if (type === 'DELETED') {
        ready.delete(name);
        present.delete(name);
      } else {
        present.add(name);
        if (object.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True')) ready.add(name);
      }
      wake();
    }
  })().catch(() => undefined);
  const until = async (condition: () => boolean, what: string): Promise<void> => {
    const deadline = performance.now() + 60_000;
    while (!condition()) {
      if (performance.now() > deadline) throw new Error(`timeout: ${what}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, 1000);
      });
    }
  };

  const starts: number[] = [];
  const ends: number[] = [];
  for (let i = 0; i < 22; i++) {
    const name = `p${i}`;
    const began = performance.now();
    await api.json('POST', base, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: { containers: [container] },
    });
    await until(() => ready.has(name), `${name} ready`);
    starts.push(performance.now() - began);
    const ending = performance.now();
    await api.json('DELETE', `${base}/${name}`);
    await until(() => !present.has(name), `${name} gone`);
    ends.push(performance.now() - ending);
  }
  const deployments = '/apis/apps/v1/namespaces/default/deployments';
  const labels = { app: 'bench' };
  await api.json('POST', deployments, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'bench' },
    spec: {
      replicas: 0,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [container] } },
    },
  });
  const ups: number[] = [];
  const downs: number[] = [];
  for (let run = 0; run < 3; run++) {
    const scale = (replicas: number) =>
      api.json('PATCH', `${deployments}/bench`, { spec: { replicas } }, 'application/merge-patch+json');
    let began = performance.now();
    await scale(30);
    await until(() => ready.size === 30, '30 ready');
    ups.push(performance.now() - began);
    began = performance.now();
    await scale(0);
    await until(() => present.size === 0, 'all gone');
    downs.push(performance.now() - began);
  }
  await api.call('DELETE', `${deployments}/bench`);
  stream.destroy();
  api.close();
  const counted = starts.slice(2);
  return [
    {
      name: 'pod create -> Ready, image present',
      value: median(counted),
      unit: 'ms',
      against: { name: 'crun run alone', value: floorMs },
      target: 150,
      note: `p90 ${quantile(counted, 0.9).toFixed(0)} ms; upstream 999 ms`,
    },
    { name: 'pod delete -> gone', value: median(ends.slice(2)), unit: 'ms', note: 'upstream 2000 ms' },
    {
      name: 'Deployment 0 -> 30 Ready',
      value: median(ups),
      unit: 'ms',
      against: { name: '30 x crun run', value: 30 * floorMs },
      target: 2000,
      note: `runs ${ups.map(Math.round).join(', ')}; upstream 6270 ms`,
    },
    { name: 'Deployment 30 -> 0 gone', value: median(downs), unit: 'ms', note: 'upstream 5750 ms' },
  ];
}
