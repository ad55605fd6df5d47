// Runs inside the test machine's network: uses Testcontainers for Node as tests do, and prints what it saw as JSON.
// The engine's socket is in DOCKER_HOST.
import { text } from 'node:stream/consumers';
import { GenericContainer, Network, Wait } from 'testcontainers';

const seen: Record<string, unknown> = {};
// Testcontainers lets the process end while it reads a log.
const alive = setInterval(() => undefined, 1000);

await using network = await new Network().start();

const web = await new GenericContainer('nginx:1.22')
  .withExposedPorts(80)
  .withNetwork(network)
  .withNetworkAliases('web')
  .withLabels({ of: 'the-test' })
  .withCopyContentToContainer([{ content: 'copied before the start', target: '/usr/share/nginx/html/copied.txt' }])
  .withWaitStrategy(Wait.forHttp('/', 80).forStatusCode(200))
  .withStartupTimeout(20_000)
  .start();
const base = `http://${web.getHost()}:${web.getMappedPort(80)}`;
seen.served = (await (await fetch(base)).text()).includes('Welcome to nginx!');
seen.copied = await (await fetch(`${base}/copied.txt`)).text();

const client = await new GenericContainer('busybox:1.35')
  .withNetwork(network)
  .withEnvironment({ GREETING: 'hello' })
  .withTmpFs({ '/scratch': 'rw' })
  .withCommand([
    'sh',
    '-c',
    'echo starting; wget -qO- http://web/copied.txt; echo; echo "ready $GREETING"; trap exit TERM; while :; do sleep 0.1; done',
  ])
  .withWaitStrategy(Wait.forLogMessage(/ready hello/))
  .start();
seen.exec = await client
  .exec(['sh', '-c', 'echo out; echo err >&2; exit 3'])
  .then(({ stdout, stderr, exitCode }) => ({ stdout, stderr, exitCode }));
seen.scratch = (await client.exec(['grep', ' /scratch ', '/proc/mounts'])).output.split(' ')[2];
await client.copyContentToContainer([{ content: 'while it runs', target: '/tmp/in' }]);
seen.copiedIn = (await client.exec(['cat', '/tmp/in'])).output;
const archive = await client.copyArchiveFromContainer('/tmp/in');
seen.copiedOut = (await text(archive)).includes('while it runs');
seen.address = /^\d+\.\d+\.\d+\.\d+$/.test(client.getIpAddress(network.getName()));

const lines: string[] = [];
const logs = await client.logs();
await new Promise<void>((resolve) => {
  logs.on('data', (line: unknown) => {
    lines.push(String(line).trim());
    if (String(line).includes('ready hello')) resolve();
  });
});
logs.destroy();
seen.logs = lines.filter((line) => line !== '').join('|');

const healthy = await new GenericContainer('busybox:1.35')
  .withCommand(['sh', '-c', 'sleep 0.3; touch /up; trap exit TERM; while :; do sleep 0.1; done'])
  .withHealthCheck({ test: ['CMD', 'test', '-e', '/up'], interval: 200, timeout: 2000, retries: 20 })
  .withWaitStrategy(Wait.forHealthCheck())
  .start();
await healthy.restart();
seen.restarted = (await healthy.exec(['echo', 'again'])).output.trim();

const oneShot = await new GenericContainer('busybox:1.35')
  .withCommand(['true'])
  .withWaitStrategy(Wait.forOneShotStartup())
  .start();
seen.failing = await new GenericContainer('busybox:1.35')
  .withCommand(['sh', '-c', 'exit 9'])
  .withWaitStrategy(Wait.forOneShotStartup())
  .start()
  .then(
    () => 'started',
    (error: Error) => error.message.startsWith('Container failed to start for '),
  );
await Promise.all([web, client, healthy, oneShot].map((container) => container.stop({ timeout: 2000 })));
clearInterval(alive);
process.stdout.write(JSON.stringify(seen));
