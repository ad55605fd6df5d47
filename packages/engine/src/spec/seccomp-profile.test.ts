import { codeOf } from '@wherry/base';
import { expect, test } from 'vitest';
import { readSeccompProfile } from './seccomp-profile.ts';

const target = { capabilities: ['CAP_SYS_ADMIN'], architecture: 'amd64', kernel: '6.1.0-18-amd64' };
const rule = (name: string, change: object = {}) => ({ names: [name], action: 'SCMP_ACT_ALLOW', ...change });
const read = (profile: object): unknown => readSeccompProfile(JSON.stringify(profile), target);
const deny = { defaultAction: 'SCMP_ACT_ERRNO' };

test('rules count by capability, architecture and kernel', () => {
  const syscalls = [
    rule('always', { args: [], includes: {}, excludes: {}, comment: 'x' }),
    rule('with-admin', { includes: { caps: ['CAP_SYS_ADMIN'] } }),
    rule('with-both', { includes: { caps: ['CAP_SYS_ADMIN', 'CAP_BPF'] } }),
    rule('without-admin', { excludes: { caps: ['CAP_SYS_ADMIN'] } }),
    rule('arm', { includes: { arches: ['arm64'] } }),
    rule('not-amd', { excludes: { arches: ['amd64'] } }),
    rule('since-4.8', { includes: { minKernel: '4.8' } }),
    rule('since-6.2', { includes: { minKernel: '6.2' } }),
    rule('until-6.1', { excludes: { minKernel: '6.1' } }),
  ];
  const names = (read({ ...deny, syscalls }) as { syscalls: { names: string[] }[] }).syscalls.map((r) => r.names[0]);
  expect(names).toEqual(['always', 'with-admin', 'since-4.8']);
});

test('the map of architectures gives this machine’s; old rules have one name', () => {
  const archMap = [
    { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
    { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] },
  ];
  const syscalls = [
    { name: 'chmod', action: 'SCMP_ACT_ERRNO', errnoRet: 0, args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }] },
  ];
  expect(read({ ...deny, defaultErrnoRet: 38, archMap, syscalls })).toEqual({
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 38,
    architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
    syscalls: [
      { names: ['chmod'], action: 'SCMP_ACT_ERRNO', errnoRet: 0, args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }] },
    ],
  });
  expect(read(deny)).toEqual(deny);
});

test('what is no profile is refused', () => {
  const broken = ['', '{', 'null', '[]', '{}', '{"defaultAction":1}', '{"defaultAction":"x","syscalls":{}}'];
  for (const text of broken) {
    try {
      readSeccompProfile(text, target);
      expect.unreachable(`${text} passed`);
    } catch (error) {
      expect(codeOf(error)).toBe('invalid');
    }
  }
});
