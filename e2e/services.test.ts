import { describe, expect, it } from 'vitest';
import { eventually } from './eventually.ts';
import { sleeper, useCluster } from './shared-cluster.ts';

const cluster = useCluster();

/** Two pods that answer with their names on port 7000, behind services of several kinds. */
const named = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: ss}
spec:
  serviceName: ss
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: ss}}
  template:
    metadata: {labels: {app: ss}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: busybox:1.35
        command: [sh, -c, "mkdir /w; hostname > /w/index.html; exec httpd -f -p 7000 -h /w"]
        readinessProbe: {exec: {command: [test, "!", -e, /w/out]}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Service
metadata: {name: ss}
spec: {clusterIP: None, selector: {app: ss}, ports: [{name: http, port: 7000}]}
---
apiVersion: v1
kind: Service
metadata: {name: any}
spec: {type: NodePort, selector: {app: ss}, ports: [{port: 80, targetPort: 7000, nodePort: 30700}]}
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec: {sessionAffinity: ClientIP, selector: {app: ss}, ports: [{port: 80, targetPort: 7000}]}
---
apiVersion: v1
kind: Service
metadata: {name: datagrams}
spec: {selector: {app: ss}, ports: [{port: 9001, targetPort: 7001, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: any.default.svc.cluster.local}
---
`;

const run = (script: string) => cluster.it.mustKubectl(['exec', 'client', '--', 'sh', '-c', script]);
const fetch = async (host: string) => (await run(`wget -qO- http://${host}/`)).trim();

async function answers(host: string, times: number): Promise<Set<string>> {
  return new Set((await run(`for i in $(seq ${times}); do wget -qO- http://${host}/; done`)).trim().split('\n'));
}

describe('services', () => {
  it('spread connections over the ready pods', async () => {
    const k = cluster.it;
    await k.apply(named + sleeper('client'));
    await k.mustKubectl(['rollout', 'status', 'sts/ss', '--timeout=30s']);
    await k.mustKubectl(['wait', 'pod/client', '--for=condition=Ready', '--timeout=30s']);
    await eventually(async () => expect(await answers('any', 20)).toEqual(new Set(['ss-0', 'ss-1'])));
  });

  it('keep a client with one pod when asked', async () => {
    expect((await answers('sticky', 15)).size).toBe(1);
  });

  it('have names: pods of a headless service, records of ports, aliases', async () => {
    const k = cluster.it;
    expect(await fetch('ss-0.ss:7000')).toBe('ss-0');
    expect(await fetch('ss-1.ss.default.svc.cluster.local:7000')).toBe('ss-1');
    const ips = (await k.mustKubectl(['get', 'pods', '-l', 'app=ss', '-o', 'jsonpath={.items[*].status.podIP}'])).split(
      ' ',
    );
    const found = await run('nslookup -type=a ss.default.svc.cluster.local | grep ^Address | tail -n +2');
    expect([...found.matchAll(/Address: (\S+)/g)].map((match) => match[1]).sort()).toEqual(ips.sort());
    expect(await run('nslookup -type=srv _http._tcp.ss.default.svc.cluster.local')).toMatch(
      /0 \d+ 7000 ss-1\.ss\.default/,
    );
    expect(await run('nslookup -type=cname alias.default.svc.cluster.local')).toContain(
      'any.default.svc.cluster.local',
    );
    expect(await fetch('alias')).toMatch(/^ss-\d$/);
    const absent = await k.kubectl(['exec', 'client', '--', 'nslookup', 'nowhere.default.svc.cluster.local']);
    expect(absent.stdout + absent.stderr).toContain('NXDOMAIN');
    const reversed = await run(`nslookup ${ips[0]}`);
    expect(reversed).toMatch(/ss-\d\.ss\.default\.svc\.cluster\.local/);
  });

  it('carry datagrams', async () => {
    const k = cluster.it;
    const server = "const s=require('dgram').createSocket('udp4');s.on('message',(m,r)=>s.send('echo '+m,r.port,r.address));s.bind(7001,()=>console.log('up'))"; // biome-ignore format: a program
    const client = "const s=require('dgram').createSocket('udp4');s.on('message',m=>{console.log(String(m));process.exit()});setInterval(()=>s.send('hello',9001,process.argv[1]),100)"; // biome-ignore format: a program
    const monitors = (await k.processes()).filter(({ command }) => command.startsWith('httpd -f -p 7000'));
    const enter = (pid: number) =>
      k.machine.start('nsenter', ['--net', '-t', String(pid), process.execPath, '-e', server]);
    await using one = enter(monitors[0]!.pid);
    await using two = enter(monitors[1]!.pid);
    await Promise.all([one.waitFor('up'), two.waitFor('up')]);
    const ip = await k.mustKubectl(['get', 'svc', 'datagrams', '-o', 'jsonpath={.spec.clusterIP}']);
    expect((await k.machine.run(process.execPath, ['-e', client, ip])).stdout).toBe('echo hello\n');
  });

  it('leave out a pod that is not ready, and take it back', async () => {
    const k = cluster.it;
    await k.mustKubectl(['exec', 'ss-0', '--', 'touch', '/w/out']);
    await k.mustKubectl(['wait', 'pod/ss-0', '--for=condition=Ready=false', '--timeout=30s']);
    await eventually(async () => expect(await answers('any', 12)).toEqual(new Set(['ss-1'])));
    await k.mustKubectl(['exec', 'ss-0', '--', 'rm', '/w/out']);
    await k.mustKubectl(['wait', 'pod/ss-0', '--for=condition=Ready', '--timeout=30s']);
    await eventually(async () => expect(await answers('any', 20)).toEqual(new Set(['ss-0', 'ss-1'])));
  });

  it('refuse at once when nobody is behind them', async () => {
    const k = cluster.it;
    await k.mustKubectl(['create', 'service', 'clusterip', 'nobody', '--tcp=80']);
    const ip = await k.mustKubectl(['get', 'svc', 'nobody', '-o', 'jsonpath={.spec.clusterIP}']);
    // By a refusal (7), not by silence (28).
    await eventually(async () => {
      const ran = await k.machine.run('curl', ['-s', '--max-time', '5', `http://${ip}/`]);
      expect(ran.code).toBe(7);
    });
  });

  it('are reached from outside by a node port, and by an address of the node', async () => {
    const { machine } = cluster.it;
    const outside = `${machine.netns.split('/').at(-1)}-out`;
    const sh = async (script: string) => {
      const ran = await machine.run('sh', ['-ec', script]);
      expect(ran.stderr + ran.code).toBe('0');
      return ran.stdout;
    };
    await sh(`ip netns add ${outside}; ip link add wt-node type veth peer name wt-out netns ${outside}
      ip addr add 198.51.100.1/24 dev wt-node; ip link set wt-node up
      ip -n ${outside} addr add 198.51.100.2/24 dev wt-out; ip -n ${outside} link set wt-out up; ip -n ${outside} link set lo up`);
    try {
      const curl = (url: string) => machine.run('ip', ['netns', 'exec', outside, 'curl', '-s', '--max-time', '3', url]);
      await eventually(async () => expect((await curl('http://198.51.100.1:30700/')).stdout).toMatch(/^ss-\d\n$/));
      expect((await curl('http://198.51.100.1:30701/')).code).not.toBe(0);
    } finally {
      await sh(`ip netns del ${outside}; ip link del wt-node 2>/dev/null || true`);
    }
  });

  it('come back when somebody flushes the rules', async () => {
    const { machine } = cluster.it;
    const ip = await cluster.it.mustKubectl(['get', 'svc', 'any', '-o', 'jsonpath={.spec.clusterIP}']);
    const curl = () => machine.run('curl', ['-s', '--max-time', '5', `http://${ip}/`]);
    expect((await curl()).code).toBe(0);
    await machine.run('nft', ['flush', 'ruleset']);
    await cluster.it.mustKubectl(['create', 'service', 'clusterip', 'change', '--tcp=80']);
    await eventually(async () => expect((await curl()).stdout).toMatch(/^ss-\d\n$/));
    expect(await fetch('any')).toMatch(/^ss-\d$/);
  });
});
