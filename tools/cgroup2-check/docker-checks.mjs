// Docker's side of the checks in the machine (see guest.mjs), by the docker client of the host, which is packed where it
// has one.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const client = '/wherry/docker';

/**
 * The tools are guest.mjs' own; `demo` is an image that has node and a shell. Leaves no container.
 */
export async function dockerChecks(demo, { run, wherry, must, equal, check, say, groups, control, kill }) {
  if (!existsSync(client)) {
    say('INFO', 'no docker client on the host: its side is not checked');
    return;
  }
  const socket = /DOCKER_HOST='?([^'\n]+)/.exec(await must(wherry('env')))[1];
  const docker = (...args) => run(client, ['-H', socket, ...args]);
  const inspect = async (name, format) => (await must(docker('inspect', '--format', format, name))).trim();
  const groupOf = async (name) => {
    const id = await inspect(name, '{{.Id}}');
    const found = groups().find((path) => path.endsWith(`/${id}`));
    if (found === undefined) throw new Error(`no cgroup of container ${id}`);
    return found;
  };

  const image = 'plain';
  const build = (tag, dockerfile) =>
    must(run(client, ['-H', socket, 'build', '-q', '-t', tag, '-'], { input: dockerfile }));
  const made = await check('docker: build', () => build(image, `FROM ${demo}\nENTRYPOINT []\n`));
  if (!made) return;
  await check('docker: run, its output and exit code', async () => {
    const ran = await docker('run', '--rm', image, 'sh', '-c', 'echo out; echo err >&2; exit 7');
    equal('run', JSON.stringify(ran), JSON.stringify({ code: 7, stdout: 'out\n', stderr: 'err\n' }));
  });
  await check('docker: limits reach the kernel, at the start and by update', async () => {
    const limits = [
      '--memory',
      '64m',
      '--memory-swap',
      '96m',
      '--cpus',
      '0.25',
      '--pids-limit',
      '50',
      '--cpuset-cpus',
      '0',
    ];
    await must(docker('run', '-d', '--name', 'limited', ...limits, image, 'sleep', '3600'));
    const group = await groupOf('limited');
    const has = (file) => control(group, file);
    equal('memory.max', has('memory.max'), String(64 << 20));
    equal('memory.swap.max', has('memory.swap.max'), String(32 << 20));
    equal('cpu.max', has('cpu.max'), '25000 100000');
    equal('pids.max', has('pids.max'), '50');
    equal('cpuset.cpus', has('cpuset.cpus'), '0');
    await must(docker('update', '--memory', '80m', '--memory-swap', '80m', '--cpus', '0.5', 'limited'));
    equal('memory.max', has('memory.max'), String(80 << 20));
    equal('memory.swap.max', has('memory.swap.max'), '0');
    equal('cpu.max', has('cpu.max'), '50000 100000');
  });
  await check('docker: exec enters the cgroup, which is all that a container sees', async () => {
    const seen = await must(docker('exec', 'limited', 'sh', '-c', 'cat /proc/self/cgroup /sys/fs/cgroup/memory.max'));
    equal('sees', seen, `0::/\n${80 << 20}\n`);
    equal('exit code', (await docker('exec', 'limited', 'sh', '-c', 'exit 9')).code, 9);
  });
  await check('docker: pause stops everything, unpause lets it go on', async () => {
    await must(docker('pause', 'limited'));
    equal('frozen', control(await groupOf('limited'), 'cgroup.events').includes('frozen 1'), true);
    equal('state', await inspect('limited', '{{.State.Status}}'), 'paused');
    await must(docker('unpause', 'limited'));
    equal('frozen', control(await groupOf('limited'), 'cgroup.events').includes('frozen 0'), true);
  });
  await check('docker: stats and top', async () => {
    const stats = await must(
      docker('stats', '--no-stream', '--format', '{{.Name}} {{.MemUsage}} {{.PIDs}}', 'limited'),
    );
    if (!/^limited \d.*iB \/ 80MiB 1\n$/.test(stats)) throw new Error(stats);
    equal('top', /sleep 3600/.test(await must(docker('top', 'limited'))), true);
  });
  await check('docker: killed for its memory', async () => {
    const ran = await docker('run', '--name', 'oom', '--memory', '24m', image, 'tail', '/dev/zero');
    equal('exit code', ran.code, 137);
    equal('state', await inspect('oom', '{{.State.OOMKilled}} {{.State.ExitCode}}'), 'true 137');
    await must(docker('rm', 'oom'));
  });
  await check('docker: names and ports of a network', async () => {
    await must(docker('network', 'create', 'web'));
    const serve = 'require("http").createServer((q, a) => a.end("served")).listen(80)';
    await must(
      docker(
        'run',
        '-d',
        '--name',
        'server',
        '--network',
        'web',
        '-p',
        '127.0.0.1:8099:80',
        image,
        'node',
        '-e',
        serve,
      ),
    );
    const ask =
      'const go = () => fetch("http://server/").then((a) => a.text()).then(console.log, () => setTimeout(go, 200)); go()';
    equal('by name', await must(docker('run', '--rm', '--network', 'web', image, 'node', '-e', ask)), 'served\n');
    equal('by port', await must(run('curl', ['-s', 'http://127.0.0.1:8099/'])), 'served');
    await must(docker('rm', '-f', 'server'));
    await must(docker('network', 'rm', 'web'));
  });
  await check('docker: build with a step that runs', async () => {
    await build('made', `FROM ${image}\nRUN echo made > /made\nCMD ["cat", "/made"]\n`);
    equal('run', await must(docker('run', '--rm', 'made')), 'made\n');
    await must(docker('rmi', 'made'));
  });
  await check('docker: kill -9 of the daemon: containers live, and are taken over', async () => {
    const group = await groupOf('limited');
    const facts = await inspect('limited', '{{.Id}} {{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}');
    await kill();
    if (control(group, 'cgroup.procs') === '') throw new Error('its process is gone');
    await must(wherry('up', '--quiet'));
    equal(
      'the container',
      await inspect('limited', '{{.Id}} {{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}'),
      facts,
    );
    equal('exec', await must(docker('exec', 'limited', 'echo', 'again')), 'again\n');
    await must(docker('rm', '-f', 'limited'));
    equal('its cgroup', existsSync(join(group, 'cgroup.procs')), false);
  });
  await check('docker: many at once', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `many${index}`);
    await Promise.all(names.map((name) => must(docker('run', '-d', '--name', name, image, 'sleep', '3600'))));
    equal('running', (await must(docker('ps', '-q'))).trim().split('\n').length, 20);
    await must(docker('rm', '-f', ...names));
  });
}
