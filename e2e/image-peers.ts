import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { debianPackages, type Ran, type RunOptions, repository, type TestMachine } from '@wherry/testkit';

/** A program that handles images, on a test machine. */
export interface ImageTool {
  run(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Must succeed; gives its standard output. */
  must(args: readonly string[], options?: RunOptions): Promise<string>;
}

function toolOf(name: string, run: ImageTool['run']): ImageTool {
  return {
    run,
    async must(args, options) {
      const ran = await run(args, options);
      if (ran.code !== 0)
        throw new Error(`${name} ${args.join(' ')}: exit code ${ran.code}\n${ran.stdout}${ran.stderr}`);
      return ran.stdout;
    },
  };
}

/** The path of a program, the machine's or that of a package; `undefined` where it does not run here. */
function program(name: string, suite: string, packages: readonly string[]): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const installed = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  const path = installed ?? join(debianPackages(repository, suite, packages) ?? '', 'usr', 'bin', name);
  try {
    // Libraries that it needs may be missing.
    execFileSync(path, ['--version'], { stdio: 'ignore' });
    return path;
  } catch {
    return undefined;
  }
}

const containersTools = ['skopeo', 'buildah', 'umoci'] as const;
export type ToolName = (typeof containersTools)[number] | 'podman';

/** Where the tools are that run on this machine. */
export function findTools(): Readonly<Record<ToolName, string | undefined>> {
  const find = (name: string): string | undefined => program(name, 'bookworm', containersTools);
  return {
    skopeo: find('skopeo'),
    buildah: find('buildah'),
    umoci: find('umoci'),
    podman: program('podman', 'bookworm', ['podman']),
  };
}

/** Podman, buildah and skopeo on a machine with an `/etc` of its own: everything of theirs is below its folder. */
export async function prepareTools(machine: TestMachine): Promise<(name: ToolName) => ImageTool> {
  const path = (name: string): string => join(machine.directory, 'tools', name);
  await mkdir(path('etc'), { recursive: true });
  await writeFile(path('etc/policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}\n');
  await writeFile(path('etc/registries.conf'), '[[registry]]\nlocation="127.0.0.1:5000"\ninsecure=true\n');
  const storage = `[storage]\ndriver="overlay"\ngraphroot="${path('data')}"\nrunroot="${path('run')}"\n`;
  await writeFile(path('etc/storage.conf'), storage);
  // More open files and processes than a process without CAP_SYS_RESOURCE may allow are podman's defaults.
  const limits = '[containers]\ndefault_ulimits=["nofile=1024:20000","nproc=1024:4096"]\n[engine]\n';
  const runtime = `cgroup_manager="cgroupfs"\nevents_logger="none"\ntmp_dir="${path('tmp')}"\nruntime="${await crunIn(path(''))}"\n`;
  await writeFile(path('etc/containers.conf'), limits + runtime);
  await machine.run('sh', [
    '-ec',
    `rm -rf /etc/containers; mkdir /etc/containers; cp ${path('etc')}/* /etc/containers/`,
  ]);
  const found = findTools();
  const env = { HOME: machine.directory, TMPDIR: machine.directory, BUILDAH_ISOLATION: 'chroot' };
  return (name) =>
    toolOf(name, (args, options = {}) =>
      machine.run(found[name]!, withoutCgroups(name, args), { ...options, env: { ...env, ...options.env } }),
    );
}

/** podman makes a cgroup for all of its containers that it never removes. */
function withoutCgroups(name: ToolName, [command, ...args]: readonly string[]): string[] {
  return name === 'podman' && command === 'run' ? ['run', '--cgroups=disabled', ...args] : [command!, ...args];
}

/** crun, wrapped where the host's cgroups are hybrid, which it refuses. Tools go by the program's name. */
export async function crunIn(folder: string): Promise<string> {
  const unified = '/sys/fs/cgroup/unified';
  if (!existsSync(`${unified}/cgroup.controllers`)) return 'crun';
  const wrapper = join(folder, 'crun');
  const inside = `umount ${unified} && exec crun "$@"`;
  await mkdir(folder, { recursive: true });
  await writeFile(wrapper, `#!/bin/sh\nexec unshare --mount --propagation slave sh -c '${inside}' sh "$@"\n`, {
    mode: 0o755,
  });
  return wrapper;
}

/** Removes the empty cgroups that an engine leaves behind beneath its own. */
export async function removeCgroups(machine: TestMachine, parent: string): Promise<void> {
  const script = `find /sys/fs/cgroup/*/${parent} /sys/fs/cgroup/${parent} -depth -type d -exec rmdir {} +`;
  await machine.run('sh', ['-c', script]);
}

/** A real dockerd on a machine, without networks of its own, and the client that talks to it. */
export async function startDockerd(
  machine: TestMachine,
  folders: string,
): Promise<ImageTool & AsyncDisposable & { readonly pid: number }> {
  const path = (name: string): string => join(machine.directory, 'dockerd', name);
  await mkdir(path(''), { recursive: true });
  const cgroup = `${machine.cgroupParent}-dockerd`;
  const PATH = `${folders}${delimiter}${process.env.PATH}`;
  const env = { PATH, HOME: path(''), DOCKER_HOST: `unix://${path('docker.sock')}` };
  const daemon = machine.start(
    'dockerd',
    [
      `--host=${env.DOCKER_HOST}`,
      `--data-root=${path('data')}`,
      `--exec-root=${path('exec')}`,
      `--pidfile=${path('pid')}`,
      `--cgroup-parent=/${cgroup}`,
      '--storage-driver=overlay2',
      '--bridge=none',
      '--iptables=false',
    ],
    { env },
  );
  await daemon.waitFor('API listen on', 30_000);
  const tool = toolOf('docker', (args, options) => machine.run('docker', args, { ...options, env }));
  return {
    ...tool,
    pid: daemon.pid,
    async [Symbol.asyncDispose]() {
      daemon.kill('SIGTERM');
      await daemon.exited;
      await removeCgroups(machine, cgroup);
    },
  };
}
