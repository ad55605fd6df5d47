import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { silentLogger, systemRandom } from '@wherry/base';
import { createDnsServer } from '@wherry/dns';
import { createVeth, NetlinkSocket, warmThreadPool } from '@wherry/linux';
import { openContainerNetworks } from '@wherry/network';
import { createTestMachine } from '@wherry/testkit';
import { type Measure, median } from './report.ts';

const many = 200;
const times = 15;

/** What it costs to open and create networks, and to connect and publish a container, with few and with many others there. */
export async function measureNetworks(): Promise<Measure[]> {
  await warmThreadPool();
  const machine = await createTestMachine();
  const namespaces: string[] = [];
  const makeNamespace = (): string => {
    const name = `wb-${systemRandom.hex(8)}`;
    execFileSync('ip', ['netns', 'add', name]);
    namespaces.push(name);
    execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
    return `/run/netns/${name}`;
  };
  const open = () =>
    openContainerNetworks({
      stateDirectory: join(machine.directory, 'networks'),
      table: 'wherry-bench',
      defaultBridges: ['docker0'],
      netns: machine.netns,
      startNameServer: createDnsServer,
      log: silentLogger,
    });
  try {
    const firstOpen = await timed(open);
    const networks = firstOpen.result;
    await networks.create({ name: 'n1' });
    const start = async (netns: string) => {
      const containerId = systemRandom.hex(64);
      await networks.connect('n1', { containerId, containerName: containerId.slice(0, 12), netns });
      const connected = performance.now();
      await networks.publish(containerId, [{ protocol: 'TCP', containerPort: 80, hostPort: 0, hostIp: '127.0.0.1' }]);
      return { containerId, connected };
    };
    const measure = async () => {
      const connect: number[] = [];
      const both: number[] = [];
      const names: number[] = [];
      const processor: number[] = [];
      for (let round = 0; round < times; round++) {
        const netns = makeNamespace();
        const before = process.cpuUsage();
        const began = performance.now();
        const { containerId, connected } = await start(netns);
        connect.push(connected - began);
        both.push(performance.now() - began);
        const { user, system } = process.cpuUsage(before);
        processor.push((user + system) / 1000);
        const service = await timed(() => networks.serveNames({ containerId, netns, upstream: [] }));
        names.push(service.milliseconds);
        await service.result[Symbol.asyncDispose]();
      }
      return {
        connect: median(connect),
        both: median(both),
        note: `${median(processor).toFixed(2)} ms of a processor`,
        names: median(names),
      };
    };
    await start(makeNamespace());
    const few = await measure();
    while (namespaces.length < many) await start(makeNamespace());
    const crowd = await measure();
    const created: number[] = [];
    for (let at = 0; at < many; at++) {
      const pools = [{ subnet: `10.201.${at}.0/24` }];
      created.push(
        (await timed(() => networks.create({ name: `of${at}`, ipam: { driver: 'default', pools } }))).milliseconds,
      );
    }
    await networks[Symbol.asyncDispose]();
    const reopened = await timed(open);
    const floor = vethFloor(machine.netns, makeNamespace);
    await reopened.result.destroy();
    await reopened.result[Symbol.asyncDispose]();
    const line = (name: string, value: number, more: Partial<Measure> = {}): Measure => ({
      name: `networks: ${name}`,
      value,
      unit: 'ms',
      ...more,
    });
    const against = { name: 'a veth pair by netlink', value: floor };
    return [
      line('open, first time', firstOpen.milliseconds),
      line(`open again, ${many} containers`, reopened.milliseconds),
      line('connect', few.connect, { against }),
      line('connect + publish', few.both, { target: 3, note: few.note }),
      line('serve names', few.names),
      line('create a network', median(created.slice(0, times))),
      line(`create a network, ${many - times} networks`, median(created.slice(-times))),
      line(`connect, ${many} containers`, crowd.connect, { against }),
      line(`connect + publish, ${many} containers`, crowd.both, { target: 3, note: crowd.note }),
      line(`serve names, ${many} containers`, crowd.names),
    ];
  } finally {
    for (const name of namespaces) execFileSync('ip', ['netns', 'delete', name]);
    await machine[Symbol.asyncDispose]();
  }
}

function vethFloor(netns: string, makeNamespace: () => string): number {
  using socket = NetlinkSocket.open({ netns });
  const took = Array.from({ length: times }, (_, index) => {
    const peer = { netns: makeNamespace(), name: 'eth0' };
    const began = performance.now();
    createVeth(socket, { name: `floor${index}`, settings: { up: true }, peer });
    return performance.now() - began;
  });
  return median(took);
}

async function timed<T>(work: () => Promise<T>): Promise<{ result: T; milliseconds: number }> {
  const began = performance.now();
  const result = await work();
  return { result, milliseconds: performance.now() - began };
}
