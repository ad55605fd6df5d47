import type { ProcessSpec } from '@wherry/oci';
import type { ExecOptions } from '@wherry/runtime';
import { capabilitiesOf } from '../spec/capabilities.ts';
import { resolveUser } from '../spec/user.ts';

/** The process of an exec: the container's own, with what the call changes. */
export function execProcess(container: ProcessSpec, options: ExecOptions, rootfs: string): ProcessSpec {
  return {
    ...container,
    terminal: options.tty,
    args: options.command,
    env: [...container.env, ...(options.tty ? ['TERM=xterm'] : []), ...(options.env ?? [])],
    cwd: options.workingDir || container.cwd,
    ...(options.size && { consoleSize: options.size }),
    ...(options.user === undefined || options.user === '' ? {} : { user: resolveUser(rootfs, options.user, {}) }),
    ...(options.privileged === true ? { capabilities: capabilitiesOf({ privileged: true }) } : {}),
  };
}
