import type { ProcessSpec } from '@wherry/oci';
import type { ExecOptions } from '@wherry/runtime';
import { capabilitiesOf } from '../spec/capabilities.ts';
import { isKnownUser, resolveUser } from '../spec/user.ts';
import type { ContainerRecord } from '../state/records.ts';

/**
 * What a container's process is to the commands that docker runs beside it: those without a terminal do not get the
 * `TERM` that came with the container's. In pods they do, as with containerd.
 */
export function processOfCommands(
  process: ProcessSpec,
  { config, imageConfig }: Pick<ContainerRecord, 'config' | 'imageConfig'>,
): ProcessSpec {
  const isGiven = config.env.some(({ name }) => name === 'TERM') || (imageConfig?.Env ?? []).some(isTerm);
  if (config.restartable !== true || config.tty !== true || isGiven) return process;
  return { ...process, env: process.env.filter((variable) => !isTerm(variable)) };
}

const isTerm = (variable: string): boolean => variable.startsWith('TERM=');

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
