import { arch, release } from 'node:os';
import { WherryError } from '@wherry/base';
import type { SeccompSpec } from '@wherry/oci';

type Rule = NonNullable<SeccompSpec['syscalls']>[number];

/** When a rule counts: docker's profile format (docs.docker.com/engine/security/seccomp). */
interface RuleFilter {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
  readonly minKernel?: string;
}

interface ProfileRule extends Omit<Rule, 'names'> {
  readonly name?: string;
  readonly names?: readonly string[];
  readonly includes?: RuleFilter;
  readonly excludes?: RuleFilter;
  readonly comment?: string;
}

/** A profile file: the runtime specification's, with docker's conditions and its map of architectures. */
interface SeccompProfile extends Omit<SeccompSpec, 'syscalls'> {
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures?: readonly string[] | null }[];
  readonly syscalls?: readonly ProfileRule[] | null;
}

/** What a profile is applied to. */
export interface SeccompTarget {
  readonly capabilities: readonly string[];
  /** As in the profiles' `arches`: `amd64`, `arm64`. */
  readonly architecture: string;
  /** `6.1.0-18-amd64` */
  readonly kernel: string;
}

const architectureNames: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const seccompNames: Readonly<Record<string, string>> = { amd64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' };

/** This machine, for a process with these capabilities (`CAP_…`). */
export function seccompTarget(capabilities: readonly string[]): SeccompTarget {
  return { capabilities, architecture: architectureNames[arch()] ?? arch(), kernel: release() };
}

/** Reads a profile and leaves the rules that count for this target. Throws `invalid`. */
export function readSeccompProfile(text: string, target: SeccompTarget): SeccompSpec {
  const profile = parse(text);
  if (profile.architectures?.length && profile.archMap?.length)
    throw new WherryError(
      'invalid',
      "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
    );
  const mapped = profile.archMap?.find(({ architecture }) => architecture === seccompNames[target.architecture]);
  const architectures =
    mapped === undefined ? profile.architectures : [mapped.architecture, ...(mapped.subArchitectures ?? [])];
  const syscalls = (profile.syscalls ?? []).filter((rule) => counts(rule, target)).map(specRule);
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures?.length ? { architectures } : {}),
    ...(profile.flags?.length ? { flags: profile.flags } : {}),
    ...(syscalls.length > 0 ? { syscalls } : {}),
  };
}

function parse(text: string): SeccompProfile {
  let profile: SeccompProfile;
  try {
    profile = JSON.parse(text) as SeccompProfile;
  } catch (error) {
    throw new WherryError('invalid', `it is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof profile?.defaultAction !== 'string') throw new WherryError('invalid', 'it has no defaultAction');
  if (!Array.isArray(profile.syscalls ?? [])) throw new WherryError('invalid', 'its syscalls are no list');
  return profile;
}

function counts({ includes, excludes }: ProfileRule, target: SeccompTarget): boolean {
  if (excludes?.arches?.includes(target.architecture) === true) return false;
  if (excludes?.caps?.some((name) => target.capabilities.includes(name)) === true) return false;
  if (excludes?.minKernel !== undefined && !isOlder(target.kernel, excludes.minKernel)) return false;
  if (includes?.arches?.length && !includes.arches.includes(target.architecture)) return false;
  if (includes?.caps?.length && !includes.caps.every((name) => target.capabilities.includes(name))) return false;
  return includes?.minKernel === undefined || !isOlder(target.kernel, includes.minKernel);
}

function isOlder(kernel: string, wanted: string): boolean {
  const numbers = (text: string): number[] => text.split(/[.-]/, 2).map((part) => Number.parseInt(part, 10) || 0);
  const [major = 0, minor = 0] = numbers(kernel);
  const [wantedMajor = 0, wantedMinor = 0] = numbers(wanted);
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
}

function specRule({ name, names, action, errnoRet, args }: ProfileRule): Rule {
  if (name !== undefined && name !== '' && names?.length)
    throw new WherryError(
      'invalid',
      "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
    );
  return {
    names: names?.length ? names : [name ?? ''],
    action,
    ...(errnoRet === undefined || errnoRet === null ? {} : { errnoRet }),
    ...(args?.length ? { args } : {}),
  };
}
