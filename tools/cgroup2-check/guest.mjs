// Runs inside of the machine (see main.mjs): drives the built product from outside, as a user would, and prints a line
// for each check.
import { execFile, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { dockerChecks } from './docker-checks.mjs';

const root = '/wherry';
const cgroups = '/sys/fs/cgroup';
const image = 'wherry.local/demo:latest';
const env = { ...process.env, PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };
const started = Date.now();
const say = (kind, words) => console.log(`@@ ${kind} ${words.replaceAll('\n', ' | ')}`);

function run(program, args, { input, timeout = 180_000 } = {}) {
  return new Promise((resolve) => {
    const child = execFile(
      program,
      args,
      { env, timeout, killSignal: 'SIGKILL', maxBuffer: 1 << 26 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : (error.code ?? 128), stdout, stderr }),
    );
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}
const wherry = (...args) => run('/usr/local/bin/node', [`${root}/bin/wherry`, ...args]);
const kubectl = (args, options) => run(`${root}/kubectl`, args, options);

/** Standard output of a call that has to succeed. */
async function must(call) {
  const { code, stdout, stderr } = await call;
  if (code !== 0) throw new Error(`exit code ${code}: ${stdout}${stderr}`);
  return stdout;
}

function equal(what, got, wanted) {
  if (got !== wanted) throw new Error(`${what}: ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
}

async function check(name, work) {
  const before = Date.now();
  try {
    await work();
    say('PASS', `${name} (${((Date.now() - before) / 1000).toFixed(1)} s)`);
    return true;
  } catch (error) {
    say('FAIL', `${name}: ${error.message}`);
    return false;
  }
}

const jsonpath = async (object, path) => must(kubectl(['get', ...object, '-o', `jsonpath=${path}`]));
const control = (group, file) => readFileSync(join(group, file), 'utf8').trim();

/** All cgroups below one, as absolute paths. */
function groups(folder = cgroups) {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [join(folder, entry.name), ...groups(join(folder, entry.name))] : [],
    );
  } catch {
    return [];
  }
}

async function groupOf(pod) {
  const id = (await jsonpath(['pod', pod], '{.status.containerStatuses[0].containerID}')).split('//')[1];
  const found = groups().find((path) => path.endsWith(`/${id}`));
  if (found === undefined) throw new Error(`no cgroup of container ${id}`);
  return found;
}

function pod(name, command, resources = {}, more = {}) {
  const { container = {}, ...spec } = more;
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      ...spec,
      containers: [{ name: 'c', image, imagePullPolicy: 'IfNotPresent', command, resources, ...container }],
    },
  });
}
const apply = (input) => must(kubectl(['apply', '-f', '-'], { input }));
const wait = (name, condition) => must(kubectl(['wait', `pod/${name}`, `--for=${condition}`, '--timeout=90s']));

/** What must be the same before and after: by kind, without what changes by itself. */
async function facts() {
  const found = new Set();
  const add = (kind, text) => {
    for (const line of text.split('\n')) if (line.trim() !== '') found.add(`${kind} ${line.trim()}`);
  };
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    let command = '';
    try {
      command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      if (command === '' && / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')))
        command = `zombie ${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()}`;
    } catch {}
    if (
      /wherry|conmon|crun|zombie|sleep|nsenter/.test(command) &&
      !command.includes('guest.mjs') &&
      !command.includes('check/run')
    )
      add('process', command);
  }
  add(
    'mount',
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4])
      .join('\n'),
  );
  add(
    'interface',
    (await run('ip', ['-br', 'link'])).stdout
      .split('\n')
      .map((line) => line.split(/\s+/)[0])
      .join('\n'),
  );
  add('route', (await run('ip', ['route'])).stdout);
  add('rule', (await run('nft', ['list', 'tables'])).stdout);
  add(
    'cgroup',
    groups()
      .filter((path) => /wherry|kubepods|conmon|crun/.test(path) && !path.includes('wherry-check'))
      .join('\n'),
  );
  return found;
}

async function aliveAfterKill() {
  const { pid } = JSON.parse(await must(wherry('status', '-o', 'json')));
  process.kill(pid, 'SIGKILL');
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    if (/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** `quick`: what differs by the machine alone. */
async function checks({ quick }) {
  const before = await facts();
  const up = await check('up', () => must(wherry('up')));
  if (!up) {
    console.log(
      await run('sh', ['-c', 'tail -n 50 /var/lib/wherry/machines/*/log/daemon.log']).then(({ stdout }) => stdout),
    );
    return;
  }
  env.KUBECONFIG = /'(.*)'/.exec(await must(wherry('env')))[1];
  await check('demo', () => must(wherry('demo')));

  await check('limits reach the kernel', async () => {
    const resources = { requests: { cpu: '100m', memory: '32Mi' }, limits: { cpu: '250m', memory: '64Mi' } };
    await apply(pod('limited', ['sleep', '3600'], resources));
    await wait('limited', 'condition=Ready');
    const group = await groupOf('limited');
    equal('memory.max', control(group, 'memory.max'), String(64 << 20));
    equal('cpu.max', control(group, 'cpu.max'), '25000 100000');
    const weight = Number(control(group, 'cpu.weight'));
    if (!(weight >= 4 && weight <= 17)) throw new Error(`cpu.weight: ${weight}`); // the runtimes' formulas differ
    equal('memory.max of the pod', control(join(group, '..'), 'memory.max'), String(64 << 20));
    equal('cpu.max of the pod', control(join(group, '..'), 'cpu.max'), '25000 100000');
    equal('memory.oom.group', control(group, 'memory.oom.group'), '1');
  });
  if (!quick) await detailedChecks();
  if (!quick)
    await dockerChecks(image, { run, wherry, must, equal, check, say, groups, control, kill: aliveAfterKill });
  await check('down --purge leaves nothing', async () => {
    await must(wherry('down', '--purge'));
    const left = [...(await facts())].filter((fact) => !before.has(fact));
    if (left.length > 0) throw new Error(left.join('; '));
  });
}

async function detailedChecks() {
  await check('a container sees its own cgroup alone', async () => {
    const sees = (script) => must(kubectl(['exec', 'limited', '--', 'sh', '-c', script]));
    equal('its limit', await sees('cat /sys/fs/cgroup/memory.max'), `${64 << 20}\n`);
    equal('its path', await sees('cat /proc/self/cgroup'), '0::/\n');
    equal('writing', await sees('mkdir /sys/fs/cgroup/x 2>/dev/null; echo $?'), '1\n');
  });
  await check('a privileged container sees the tree and may write', async () => {
    await apply(pod('privileged', ['sleep', '3600'], {}, { container: { securityContext: { privileged: true } } }));
    await wait('privileged', 'condition=Ready');
    const script = 'mkdir /sys/fs/cgroup/wherry-made && rmdir /sys/fs/cgroup/wherry-made && cat /proc/1/cgroup';
    const path = await must(kubectl(['exec', 'privileged', '--', 'sh', '-c', script]));
    if (!/^0::\/.+\/pod/.test(path)) throw new Error(path);
    await must(kubectl(['delete', 'pod', 'privileged', '--timeout=60s']));
  });
  for (const [name, command] of [
    ['oom', ['tail', '/dev/zero']],
    ['oom-child', ['sh', '-c', 'tail /dev/zero; sleep 3600']],
  ])
    await check(`${name}: killed for its memory`, async () => {
      await apply(pod(name, command, { limits: { memory: '24Mi' } }));
      await wait(name, 'jsonpath={.status.phase}=Failed');
      const end =
        '{.status.containerStatuses[0].state.terminated.reason} {.status.containerStatuses[0].state.terminated.exitCode}';
      equal('its end', await jsonpath(['pod', name], end), 'OOMKilled 137');
    });
  await check('a stop after a failed exec', async () => {
    await apply(pod('failing', ['sleep', '3600']));
    await wait('failing', 'condition=Ready');
    const { code, stderr } = await kubectl(['exec', 'failing', '--', 'nosuchcmd']);
    if (code === 0 || !stderr.includes('executable file not found')) throw new Error(`${code} ${stderr}`);
    await must(kubectl(['delete', 'pod', 'failing', '--timeout=60s']));
  });
  await check('exec, logs and input', async () => {
    equal('exec', await must(kubectl(['exec', '-i', 'limited', '--', 'cat'], { input: 'piped\n' })), 'piped\n');
    equal('exit code', (await kubectl(['exec', 'limited', '--', 'sh', '-c', 'exit 7'])).code, 7);
    await apply(pod('talker', ['sh', '-c', 'echo out; echo err >&2']));
    await wait('talker', 'jsonpath={.status.phase}=Succeeded');
    const lines = (await must(kubectl(['logs', 'talker']))).trim().split('\n').sort().join(' ');
    equal('logs', lines, 'err out');
  });
  await check('a service by its name', async () => {
    const script = 'fetch("http://hello.demo.svc.cluster.local/").then((answer) => answer.text()).then(console.log)';
    const answer = await must(kubectl(['exec', '-n', 'demo', 'deploy/hello', '--', 'node', '-e', script]));
    if (!answer.includes('Hello')) throw new Error(answer);
  });
  await check('a shared process namespace', async () => {
    await apply(pod('shared', ['sleep', '3600'], {}, { shareProcessNamespace: true }));
    await wait('shared', 'condition=Ready');
    const pids = await must(kubectl(['exec', 'shared', '--', 'ps']));
    if (!/ 1 .*cat/.test(pids)) throw new Error(pids);
    await must(kubectl(['delete', 'pod', 'shared', '--timeout=60s']));
  });
  await check('mounts of a container that travel to the host (Bidirectional)', async () => {
    const container = {
      securityContext: { privileged: true },
      volumeMounts: [{ name: 'v', mountPath: '/v', mountPropagation: 'Bidirectional' }],
    };
    const volumes = [{ name: 'v', hostPath: { path: '/run/travel' } }];
    await must(run('mkdir', ['-p', '/run/travel']));
    await must(run('mount', ['-t', 'tmpfs', 'travel', '/run/travel']));
    await must(run('mount', ['--make-private', '/run/travel']));
    await apply(pod('refused', ['sleep', '3600'], {}, { container, volumes }));
    await wait('refused', 'jsonpath={.status.containerStatuses[0].state.waiting.reason}=CreateContainerError');
    const message = await jsonpath(['pod', 'refused'], '{.status.containerStatuses[0].state.waiting.message}');
    equal('why', message.includes('is not a shared mount'), true);
    await must(kubectl(['delete', 'pod', 'refused', '--timeout=60s']));
    await must(run('mount', ['--make-shared', '/run/travel']));
    await apply(pod('mounter', ['sleep', '3600'], {}, { container, volumes }));
    await wait('mounter', 'condition=Ready');
    await must(kubectl(['exec', 'mounter', '--', 'sh', '-c', 'mkdir -p /v/a && mount -t tmpfs t /v/a']));
    const seen = readFileSync('/proc/self/mountinfo', 'utf8').includes(' /run/travel/a ');
    await must(kubectl(['exec', 'mounter', '--', 'umount', '/v/a']));
    await must(kubectl(['delete', 'pod', 'mounter', '--timeout=60s']));
    await must(run('umount', ['/run/travel']));
    if (!seen) throw new Error('the mount is not on the host');
  });
  await check('kill -9 of the daemon: pods live, and are taken over', async () => {
    const path =
      '{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount} {.status.podIP}';
    const facts = await jsonpath(['pod', 'limited'], path);
    await aliveAfterKill();
    const group = groups().find((name) => name.endsWith(`/${facts.split(' ')[0].split('//')[1]}`));
    if (control(group, 'cgroup.procs') === '') throw new Error('its process is gone');
    await must(wherry('up', '--quiet'));
    await wait('limited', 'condition=Ready');
    equal('the pod', await jsonpath(['pod', 'limited'], path), facts);
    equal('exec', await must(kubectl(['exec', 'limited', '--', 'hostname'])), 'limited\n');
  });
  await check('a deleted pod leaves no cgroup', async () => {
    const uid = await jsonpath(['pod', 'limited'], '{.metadata.uid}');
    await must(kubectl(['delete', 'pod', 'limited', '--timeout=60s']));
    const left = () => groups().filter((path) => path.includes(uid));
    for (let tries = 0; left().length > 0 && tries < 100; tries++)
      await new Promise((resolve) => setTimeout(resolve, 100));
    if (left().length > 0) throw new Error(left().join(' '));
  });
}

/** As in a container: the top of the tree that can be seen is a plain cgroup, and these very processes are in it. */
function enterCgroupNamespace() {
  const box = `${cgroups}/box`;
  const inside = `umount -l ${cgroups} && mount -t cgroup2 cgroup2 ${cgroups} && exec "$0" "$1" inside`;
  const script = [
    `echo '+cpu +memory +pids' > ${cgroups}/cgroup.subtree_control`,
    `mkdir ${box}`,
    `echo $$ > ${box}/cgroup.procs`,
    `exec unshare --cgroup --mount --propagation slave sh -c '${inside}' "$0" "$1"`,
  ].join(' && ');
  spawnSync('sh', ['-c', script, process.execPath, process.argv[1]], { stdio: 'inherit', env });
}

const mode = /wherry\.mode=(\w+)/.exec(readFileSync('/proc/cmdline', 'utf8'))?.[1];
if (mode === 'nested' && process.argv[2] !== 'inside') enterCgroupNamespace();
else {
  const kernel = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
  const [has, hands] = ['cgroup.controllers', 'cgroup.subtree_control'].map((file) => control(cgroups, file));
  say('INFO', `Linux ${kernel}, controllers ${has}; handed down: ${hands || 'none'}`);
  await checks({ quick: mode === 'nested' });
  say('INFO', `${((Date.now() - started) / 1000).toFixed(0)} s`);
  say('DONE', '');
}
