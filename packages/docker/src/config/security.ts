import { WherryError } from '@wherry/base';
import type { HostConfig } from './types.ts';

export interface SecurityOptions {
  readonly noNewPrivileges: boolean;
  readonly seccomp: 'default' | 'unconfined' | { readonly profile: string };
  readonly apparmor: string | undefined;
  readonly writableCgroups: boolean;
  readonly labels: Readonly<Record<string, string>>;
}

/** `--security-opt`: checked with dockerd's words. `selinux`: whether labels mean anything on this machine. */
export function parseSecurityOptions(host: HostConfig, { selinux }: { readonly selinux: boolean }): SecurityOptions {
  const options = { noNewPrivileges: false, seccomp: 'default', apparmor: undefined, writableCgroups: false } as {
    noNewPrivileges: boolean;
    seccomp: SecurityOptions['seccomp'];
    apparmor: string | undefined;
    writableCgroups: boolean;
  };
  const labels: Record<string, string> = {};
  for (const option of host.SecurityOpt ?? []) {
    const refuse = (): never => {
      throw new WherryError('internal', `invalid --security-opt 1: ${JSON.stringify(option)}`);
    };
    if (option === 'no-new-privileges') {
      options.noNewPrivileges = true;
      continue;
    }
    const at = option.search(/[=:]/);
    if (at < 0) refuse();
    const value = option.slice(at + 1);
    switch (option.slice(0, at)) {
      case 'no-new-privileges':
        options.noNewPrivileges = booleanOf(value, option);
        break;
      case 'writable-cgroups':
        options.writableCgroups = booleanOf(value, option);
        break;
      case 'seccomp':
        options.seccomp = seccompOf(value);
        break;
      case 'apparmor':
        options.apparmor = value;
        break;
      case 'label':
        if (selinux) labelOf(value, labels);
        break;
      default:
        throw new WherryError('internal', `invalid --security-opt 2: ${JSON.stringify(option)}`);
    }
  }
  return { ...options, labels };
}

function booleanOf(text: string, option: string): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  throw new WherryError('internal', `invalid --security-opt 2: ${JSON.stringify(option)}`);
}

/** Profiles are small: docker's own has 14 KB. */
const longestProfile = 1024 * 1024;

function seccompOf(value: string): SecurityOptions['seccomp'] {
  if (value === 'unconfined') return 'unconfined';
  if (value === 'builtin') return 'default';
  if (value.length > longestProfile) throw new WherryError('tooLarge', 'the seccomp profile is too long');
  try {
    const profile: unknown = JSON.parse(value);
    if (Array.isArray(profile)) throw new Error('json: cannot unmarshal array into Go value of type seccomp.Seccomp');
    if (typeof profile !== 'object' || profile === null) throw new Error('not an object');
    const { defaultAction, syscalls } = profile as { defaultAction?: unknown; syscalls?: unknown };
    if (syscalls !== undefined && syscalls !== null && !Array.isArray(syscalls))
      throw new Error(
        `json: cannot unmarshal ${typeof syscalls} into Go struct field Seccomp.syscalls of type []*seccomp.Syscall`,
      );
    // One that says nothing keeps from nothing (moby's `setupSeccomp`).
    if (!defaultAction && !(Array.isArray(syscalls) && syscalls.length > 0)) return 'unconfined';
  } catch (error) {
    throw new WherryError('invalid', `Decoding seccomp profile failed: ${(error as Error).message}`, { cause: error });
  }
  return { profile: value };
}

function labelOf(value: string, labels: Record<string, string>): void {
  if (value === 'disable') return;
  const at = value.indexOf(':');
  const key = value.slice(0, at);
  if (at < 0 || !['user', 'role', 'type', 'level', 'filetype'].includes(key))
    throw new WherryError(
      'invalid',
      `Bad label option "${value}", valid options 'disable' or 'user, role, level, type, filetype' followed by ':' and a value`,
    );
  labels[key] = value.slice(at + 1);
}
