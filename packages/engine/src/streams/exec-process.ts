import type { ProcessSpec } from '@wherry/oci';
import type { ExecOptions } from '@wherry/runtime';
import { capabilitiesOf } from '../spec/capabilities.ts';
import { isKnownUser, resolveUser } from '../spec/user.ts';

/** The process of an exec: the container's own, with what the call changes. */
export function execProcess(container: ProcessSpec, options: ExecOptions, rootfs: string): ProcessSpec {
  const env = [...container.env, ...(options.tty ? ['TERM=xterm'] : []), ...(options.env ?? [])];
  return {
    ...container,
    terminal: options.tty,
    args: options.command,
    env,
    cwd: options.workingDir || container.cwd,
    ...(options.size && { consoleSize: options.size }),
    ...(options.user === undefined || options.user === '' ? {} : anotherUser(env, options.user, rootfs)),
    ...(options.privileged === true ? { capabilities: capabilitiesOf({ privileged: true }) } : {}),
  };
}

/** The folder of users whom the image does not know, which the container's own may be. */
const unknownHome = 'HOME=/';

function anotherUser(env: readonly string[], name: string, rootfs: string): Pick<ProcessSpec, 'user' | 'env'> {
  const user = resolveUser(rootfs, name, {});
  const others = env.filter((variable) => variable !== unknownHome);
  // The runtime gives known ones their own.
  const has = isKnownUser(rootfs, user.uid) || others.some((variable) => variable.startsWith('HOME='));
  return { user, env: has ? others : [...others, unknownHome] };
}
