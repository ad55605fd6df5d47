import { readFileSync, statSync } from 'node:fs';
import { arch } from 'node:os';
import { messageOf, WherryError } from '@wherry/base';
import type { SeccompSpec } from '@wherry/oci';
import type { SecurityContext } from '@wherry/runtime';
import { refusedBefore } from '../runtime/failures.ts';
import { readSeccompProfile, seccompTarget } from './seccomp-profile.ts';

/** System calls of ordinary programs. What is not here fails with EPERM, as under docker and containerd. */
const allowed = `
accept accept4 access adjtimex alarm bind brk capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64
clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range
connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64
fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex
futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd
getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername
getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage
getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get
ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat
listen listxattr llistxattr lremovexattr lseek _llseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier
memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr
mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget
msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause
pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl
pread64 preadv preadv2 prlimit64 process_madvise process_mrelease process_vm_readv process_vm_writev pselect6
pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg
recvmmsg_time64 recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction
rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min
sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64
sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list
setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack
signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statx symlink symlinkat
sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat utime utimensat
utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev arch_prctl modify_ldt
arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls`;

/** More system calls for a capability: what they can do is then allowed by it anyway. */
const byCapability: Readonly<Record<string, string>> = {
  CAP_DAC_READ_SEARCH: 'open_by_handle_at',
  CAP_SYS_ADMIN:
    'bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare',
  CAP_SYS_BOOT: 'reboot',
  CAP_SYS_CHROOT: 'chroot',
  CAP_SYS_MODULE: 'delete_module init_module finit_module',
  CAP_SYS_PACCT: 'acct',
  CAP_SYS_PTRACE: 'kcmp',
  CAP_SYS_RAWIO: 'iopl ioperm',
  CAP_SYS_TIME: 'settimeofday stime clock_settime clock_settime64',
  CAP_SYS_TTY_CONFIG: 'vhangup',
  CAP_SYS_NICE: 'get_mempolicy mbind set_mempolicy set_mempolicy_home_node',
  CAP_SYSLOG: 'syslog',
  CAP_BPF: 'bpf',
  CAP_PERFMON: 'perf_event_open',
};

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');
/** CLONE_NEW* of clone(2): namespaces need CAP_SYS_ADMIN. */
const newNamespaces = 0x7e020000;
const vsockFamily = 40;
/** personality(2): the plain ones, and the query. */
const personalities = [0x0, 0x0008, 0x20000, 0x20008, 0xffffffff];
/** `defs-linux` of the runtime specification. */
const actions = new Set(
  words('KILL KILL_PROCESS KILL_THREAD TRAP ERRNO TRACE ALLOW LOG NOTIFY').map((name) => `SCMP_ACT_${name}`),
);
const enosys = 38;
const longestProfile = 1 << 20;

/** Wherry's default profile for a process with these capabilities (`CAP_…`). Built when first needed. */
export function defaultSeccompProfile(capabilities: readonly string[]): SeccompSpec {
  const extra = capabilities.flatMap((name) => words(byCapability[name] ?? ''));
  const admin = capabilities.includes('CAP_SYS_ADMIN');
  const allow = 'SCMP_ACT_ALLOW';
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    architectures:
      arch() === 'arm64'
        ? ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']
        : ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
    syscalls: [
      { names: [...words(allowed), ...extra], action: allow },
      { names: ['socket'], action: allow, args: [{ index: 0, value: vsockFamily, op: 'SCMP_CMP_NE' }] },
      ...personalities.map((value) => ({
        names: ['personality'],
        action: allow,
        args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }],
      })),
      ...(admin
        ? []
        : [
            {
              names: ['clone'],
              action: allow,
              args: [{ index: 0, value: newNamespaces, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
            },
            // Its flags are behind a pointer that a filter cannot follow: libc falls back to clone.
            { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: enosys },
          ]),
    ],
  };
}

/** The profile that a security context asks for; `undefined`: none. A broken profile file is `invalid`. */
export function seccompOf(security: SecurityContext, capabilities: readonly string[]): SeccompSpec | undefined {
  const wanted = security.seccomp;
  if (security.privileged === true || wanted === undefined || wanted.type === 'Unconfined') return undefined;
  if (wanted.type === 'RuntimeDefault') return defaultSeccompProfile(capabilities);
  const path = wanted.type === 'Inline' ? undefined : (wanted.path ?? '');
  let profile: SeccompSpec;
  try {
    if (path !== undefined && statSync(path).size > longestProfile) throw new Error('larger than 1 MiB');
    const text = wanted.type === 'Inline' ? wanted.profile : readFileSync(path as string, 'utf8');
    profile = readSeccompProfile(text, seccompTarget(capabilities));
  } catch (error) {
    const which = path === undefined ? '' : ` ${JSON.stringify(path)}`;
    throw new WherryError('invalid', `cannot load seccomp profile${which}: ${messageOf(error)}`, { cause: error });
  }
  for (const action of [profile.defaultAction, ...(profile.syscalls ?? []).map((rule) => rule.action)])
    if (!actions.has(action)) throw refusedBefore(`string ${action} is not a valid action for seccomp`);
  for (const name of profile.architectures ?? [])
    if (!/^SCMP_ARCH_[A-Z0-9]+$/.test(name)) throw refusedBefore(`string ${name} is not a valid arch for seccomp`);
  return profile;
}
