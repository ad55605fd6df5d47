import { spawn } from 'node:child_process';
import { type ApiConnection, connect, connectTo, rate, watchLines } from './api-connection.ts';
import { type Measure, quantile } from './report.ts';

const payload = 'x'.repeat(1024);
const configMap = (name: string, t = '') => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data: { payload, t },
});

/**
 * The API over TLS, HTTP/1.1 keep-alive: get a 1 KiB object, list 500 of them, create, and the fan-out of
 * 200 updates to 100 watchers. The floor is a bare Node HTTPS server that answers with the same bytes.
 */
export async function measureApi(kubeconfig: string): Promise<Measure[]> {
  const api = await connect(kubeconfig, 8);
  const base = '/api/v1/namespaces';
  await api.json('POST', base, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'bench' } });
  const maps = `${base}/bench/configmaps`;
  await rate(8, 500, (i) => api.json('POST', maps, configMap(`l${i}`)));
  const one = await api.call('GET', `${maps}/l0`);
  const list = await api.call('GET', maps);
  const floor = await startFloor(one.bytes, list.bytes);
  const raw = connectTo(floor.url, 8, { ca: floor.ca });
  const measures: Measure[] = [];
  try {
    const get = await best(3, () => rate(8, 4000, () => api.call('GET', `${maps}/l0`)));
    const rawGet = await best(3, () => rate(8, 4000, () => raw.call('GET', '/one')));
    measures.push({
      name: 'API get 1 KiB, 8 connections',
      value: get,
      unit: '/s',
      against: { name: 'bare Node HTTPS', value: rawGet },
      note: 'kube-apiserver 1503/s (peers.md)',
    });
    const lists = await best(3, () => rate(8, 200, () => api.call('GET', maps)));
    const rawLists = await best(3, () => rate(8, 200, () => raw.call('GET', '/list')));
    measures.push({
      name: `API list 500 (${Math.round(list.bytes.length / 1024)} KiB)`,
      value: lists,
      unit: '/s',
      against: { name: 'bare Node HTTPS', value: rawLists },
      note: 'kube-apiserver 163/s',
    });
    const wide = await connect(kubeconfig, 32);
    const create = await rate(32, 3000, (i) => wide.json('POST', maps, configMap(`c${i}`)));
    const rawPost = connectTo(floor.url, 32, { ca: floor.ca });
    const rawCreate = await rate(32, 3000, (i) => rawPost.call('POST', '/sink', configMap(`c${i}`)));
    measures.push({
      name: 'API create 1 KiB durable, 32 connections',
      value: create,
      unit: '/s',
      against: { name: 'bare Node HTTPS, not stored', value: rawCreate },
      note: 'kube-apiserver 1067/s',
    });
    wide.close();
    rawPost.close();
    measures.push(...(await fanOut(kubeconfig, api, maps)));
  } finally {
    await api.call('DELETE', `${base}/bench`);
    api.close();
    raw.close();
    floor.stop();
  }
  return measures;
}

async function best(times: number, run: () => Promise<number>): Promise<number> {
  const values: number[] = [];
  for (let i = 0; i < times; i++) values.push(await run());
  return quantile(values, 0.5);
}

async function fanOut(kubeconfig: string, api: ApiConnection, maps: string): Promise<Measure[]> {
  const watchers = 100;
  const updates = 200;
  const { metadata } = await api.json<{ metadata: { resourceVersion: string } }>('GET', `${maps}?limit=1`);
  const watching = await connect(kubeconfig, 8);
  const latencies: number[] = [];
  const streams = await Promise.all(
    Array.from({ length: watchers }, () =>
      watching.stream(`${maps}?watch=1&resourceVersion=${metadata.resourceVersion}&timeoutSeconds=120`),
    ),
  );
  const readers = streams.map(async (stream) => {
    let seen = 0;
    for await (const line of watchLines(stream)) {
      const sent = /"t":"([0-9.]+)"/.exec(line)?.[1];
      if (sent === undefined) continue;
      latencies.push(performance.now() - Number(sent));
      if (++seen === updates) break;
    }
  });
  const began = performance.now();
  await rate(8, updates, (i) =>
    api.json('PUT', `${maps}/l${i % 20}`, configMap(`l${i % 20}`, performance.now().toFixed(3))),
  );
  await Promise.all(readers);
  const took = performance.now() - began;
  for (const stream of streams) stream.destroy();
  watching.close();
  return [
    {
      name: 'API watch, 100 watchers x 200 updates',
      value: took,
      unit: 'ms',
      note: `kube-apiserver 613 ms; event latency p50 ${quantile(latencies, 0.5).toFixed(0)} ms, p99 ${quantile(latencies, 0.99).toFixed(0)} ms`,
    },
  ];
}

/** A bare HTTPS server in a process of its own. */
async function startFloor(one: Buffer, list: Buffer): Promise<{ url: URL; ca: Buffer; stop(): void }> {
  const script = `
    const https = require('node:https');
    let text = '';
    process.stdin.on('data', (c) => (text += c)).on('end', () => {
      const { key, cert, one, list } = JSON.parse(text);
      const answers = { '/one': Buffer.from(one, 'base64'), '/list': Buffer.from(list, 'base64') };
      const server = https.createServer({ key, cert }, (q, s) => {
        q.resume().on('end', () => { const b = answers[q.url] ?? answers['/one']; s.writeHead(200, { 'content-type': 'application/json', 'content-length': b.length }); s.end(b); });
      });
      server.listen(0, '127.0.0.1', () => console.log(server.address().port));
    });`;
  const { issueFloorCertificate } = await import('./floor-certificate.ts');
  const { key, certificate } = await issueFloorCertificate();
  const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(
    JSON.stringify({ key, cert: certificate, one: one.toString('base64'), list: list.toString('base64') }),
  );
  const port = await new Promise<string>((resolve) =>
    child.stdout.once('data', (data: Buffer) => resolve(data.toString().trim())),
  );
  return { url: new URL(`https://127.0.0.1:${port}`), ca: Buffer.from(certificate), stop: () => child.kill() };
}
