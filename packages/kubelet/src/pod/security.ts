import type { V1Container, V1Pod, V1SeccompProfile } from '@wherry/api';
import { WherryError } from '@wherry/base';
import type { SecurityContext } from '@wherry/runtime';

/** The security of a container: its own settings above the pod's. */
export function securityOf(pod: V1Pod, container: V1Container, groups: readonly number[] = []): SecurityContext {
  const ofPod = pod.spec?.securityContext;
  const own = container.securityContext;
  const user = own?.runAsUser ?? ofPod?.runAsUser;
  const group = own?.runAsGroup ?? ofPod?.runAsGroup;
  const supplemental = new Set([...(ofPod?.supplementalGroups ?? []), ...groups]);
  if (ofPod?.fsGroup !== undefined) supplemental.add(ofPod.fsGroup);
  const selinux = own?.seLinuxOptions ?? ofPod?.seLinuxOptions;
  const apparmor = own?.appArmorProfile ?? ofPod?.appArmorProfile;
  return {
    privileged: own?.privileged === true,
    addCapabilities: own?.capabilities?.add?.map(bareCapability),
    dropCapabilities: own?.capabilities?.drop?.map(bareCapability),
    runAsUser: user,
    runAsGroup: group,
    supplementalGroups: [...supplemental],
    readonlyRootfs: own?.readOnlyRootFilesystem === true,
    noNewPrivileges: own?.allowPrivilegeEscalation === false,
    seccomp: seccompOf(own?.seccompProfile ?? ofPod?.seccompProfile),
    ...(apparmor?.type === 'Localhost' && apparmor.localhostProfile
      ? { apparmorProfile: apparmor.localhostProfile }
      : {}),
    ...(own?.procMount === 'Unmasked' ? { maskedPaths: [], readonlyPaths: [] } : {}),
    ...(selinux
      ? {
          selinux: {
            user: selinux.user ?? '',
            role: selinux.role ?? '',
            type: selinux.type ?? '',
            level: selinux.level ?? '',
          },
        }
      : {}),
  };
}

function bareCapability(name: string): string {
  return name.replace(/^CAP_/, '');
}

function seccompOf(profile: V1SeccompProfile | undefined): SecurityContext['seccomp'] {
  if (profile?.type === 'RuntimeDefault') return { type: 'RuntimeDefault' };
  if (profile?.type === 'Localhost') return { type: 'Localhost', path: profile.localhostProfile ?? '' };
  return { type: 'Unconfined' }; // upstream's default without SeccompDefault
}

/** Refuses a container that must not run as root but would (`runAsNonRoot`). `imageUser` as in the image's config. Throws `invalid` in upstream's words. */
export function checkNonRoot(pod: V1Pod, container: V1Container, imageUser: string): void {
  const own = container.securityContext;
  const ofPod = pod.spec?.securityContext;
  if ((own?.runAsNonRoot ?? ofPod?.runAsNonRoot) !== true) return;
  const about = `(pod: "${pod.metadata?.name}_${pod.metadata?.namespace}(${pod.metadata?.uid})", container: ${container.name})`;
  const user = own?.runAsUser ?? ofPod?.runAsUser;
  if (user === 0) throw new WherryError('invalid', `container's runAsUser breaks non-root policy ${about}`);
  if (user !== undefined) return;
  const name = imageUser.split(':', 1)[0] ?? '';
  if (name === '' || name === '0')
    throw new WherryError('invalid', `container has runAsNonRoot and image will run as root ${about}`);
  if (!/^\d+$/.test(name))
    throw new WherryError(
      'invalid',
      `container has runAsNonRoot and image has non-numeric user (${name}), cannot verify user is non-root ${about}`,
    );
}
