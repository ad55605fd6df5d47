// Runs inside the test machine's network: drives the cluster with @kubernetes/client-node, as its users do,
// and prints what it saw as JSON. Arguments: the kubeconfig.
import { connect, createServer } from 'node:net';
import { PassThrough } from 'node:stream';
import {
  AppsV1Api,
  CoreV1Api,
  Exec,
  KubeConfig,
  Log,
  makeInformer,
  PortForward,
  type V1Pod,
  type V1Status,
  Watch,
} from '@kubernetes/client-node';

const config = new KubeConfig();
config.loadFromFile(process.argv[2]!);
const core = config.makeApiClient(CoreV1Api);
const apps = config.makeApiClient(AppsV1Api);
const seen: Record<string, unknown> = {};
const namespace = 'client-node';

function until<T>(what: string, start: (done: (value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`timeout: ${what}`)), 30_000);
    start((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}

await core.createNamespace({ body: { metadata: { name: namespace } } });

// Informer: sees a pod from nothing to Ready, and its end.
const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, () =>
  core.listNamespacedPod({ namespace }),
);
const events: string[] = [];
const ready = until<V1Pod>('pod ready', (done) => {
  informer.on('add', (pod) => {
    if (pod.metadata?.name === 'p') events.push('add p');
  });
  informer.on('update', (pod) => {
    if (pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True')) done(pod);
  });
});
const gone = until<string>('pod gone', (done) =>
  informer.on('delete', (pod) => {
    if (pod.metadata?.name === 'p') done('p');
  }),
);
await informer.start();
const command = ['sh', '-c', 'echo from the log; mkdir /w; echo served > /w/index.html; exec httpd -f -p 7000 -h /w'];
await core.createNamespacedPod({
  namespace,
  body: {
    metadata: { name: 'p' },
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image: 'busybox:1.35', command }] },
  },
});
const pod = await ready;
seen.phase = pod.status?.phase;
const read = await core.readNamespacedPod({ namespace, name: 'p' });
seen.startedIsDate = read.status?.startTime instanceof Date;
seen.events = events;

// Exec: both streams, standard input and the exit code.
const out = new PassThrough();
const err = new PassThrough();
const input = new PassThrough();
const texts = { out: '', err: '' };
out.on('data', (part) => (texts.out += part));
err.on('data', (part) => (texts.err += part));
const status = await until<V1Status>('exec', (done) => {
  void new Exec(config)
    .exec(namespace, 'p', 'c', ['sh', '-c', 'read x; echo got $x; echo oops >&2; exit 3'], out, err, input, false, done)
    .then(() => input.write('hello\n'));
});
seen.exec = { ...texts, status: status.status, reason: status.reason, code: status.details?.causes?.[0]?.message };

// Log.
const log = new PassThrough();
let logged = '';
log.on('data', (part) => (logged += part));
const logEnd = until<void>('log', (done) => log.on('end', () => done()));
await new Log(config).log(namespace, 'p', 'c', log, { follow: false });
await logEnd;
seen.log = logged;

// Port-forward: an HTTP request through it.
const forward = new PortForward(config);
const server = createServer((socket) => void forward.portForward(namespace, 'p', [7000], socket, null, socket));
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address() as { port: number };
seen.forwarded = await until<string>('port-forward', (done) => {
  const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.0\r\nHost: x\r\n\r\n'));
  let text = '';
  socket.on('data', (part) => {
    text += part;
    if (text.includes('served')) {
      done(text.split('\r\n')[0]!.replace(/^HTTP\/1\.[01] /, '') + ' ' + text.trim().split('\n').at(-1));
      socket.destroy();
    }
  });
});
server.close();

// Watch, from a list's version, of a Deployment that gets available.
const { metadata } = await apps.listNamespacedDeployment({ namespace });
const labels = { app: 'd' };
const available = until<number>('deployment available', (done) => {
  void new Watch(config).watch(
    `/apis/apps/v1/namespaces/${namespace}/deployments`,
    { resourceVersion: metadata!.resourceVersion },
    (_type, object: { status?: { availableReplicas?: number } }) => {
      if (object.status?.availableReplicas === 2) done(2);
    },
    () => undefined,
  );
});
await apps.createNamespacedDeployment({
  namespace,
  body: {
    metadata: { name: 'd' },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'c', image: 'busybox:1.35', command: ['sleep', '3600'] }],
        },
      },
    },
  },
});
seen.available = await available;

await core.deleteNamespacedPod({ namespace, name: 'p' });
seen.deleted = await gone;
await core.deleteNamespace({ name: namespace });
process.stdout.write(JSON.stringify(seen), () => process.exit(0));
