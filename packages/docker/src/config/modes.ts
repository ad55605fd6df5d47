import { WherryError } from '@wherry/base';
import type { ContainerConfig, HostConfig } from './types.ts';

/** The container that a mode like `container:web` names; `undefined` for other modes. */
export function containerOfMode(mode: string): string | undefined {
  return mode.startsWith('container:') ? mode.slice('container:'.length) : undefined;
}

/** Whether a network mode names a network that a user made. */
export function isUserDefined(mode: string): boolean {
  return !['', 'default', 'bridge', 'host', 'none'].includes(mode) && containerOfMode(mode) === undefined;
}

/** Combinations that cannot be, with dockerd's words, in its order. */
export function checkNetworkMode(config: ContainerConfig, host: HostConfig): void {
  const conflict = (text: string): never => {
    throw new WherryError('invalid', `conflicting options: ${text}`);
  };
  const mode = host.NetworkMode;
  const other = containerOfMode(mode);
  const undefinedBehaviour = "can't be used with links. This would result in undefined behavior";
  if (other === '')
    throw new WherryError('invalid', 'Invalid network mode: invalid container format container:<name|id>');
  if (config.Hostname !== '' && host.UTSMode === 'host') conflict('hostname and the UTS mode');
  if ((other !== undefined || mode === 'host') && (host.Links ?? []).length > 0)
    conflict(
      `${mode === 'host' ? 'host' : 'container'} type ${mode === 'host' ? 'networking' : 'network'} ${undefinedBehaviour}`,
    );
  if (other === undefined) return;
  if (config.Hostname !== '') conflict('hostname and the network mode');
  if ((host.Dns ?? []).length > 0) conflict('dns and the network mode');
  if ((host.ExtraHosts ?? []).length > 0) conflict('custom host-to-IP mapping and the network mode');
  if ((config.MacAddress ?? '') !== '') conflict('mac-address and the network mode');
  if (Object.keys(host.PortBindings ?? {}).length > 0 || host.PublishAllPorts)
    conflict('port publishing and the container type network mode');
  if (Object.keys(config.ExposedPorts ?? {}).length > 0) conflict('port exposing and the container type network mode');
}

/** Namespace modes other than the network's. */
export function checkNamespaceModes(host: HostConfig): void {
  const refuse = (what: string, mode: string): never => {
    throw new WherryError('invalid', `invalid ${what} mode: ${mode}`);
  };
  if (!valid(host.PidMode, ['', 'host'])) refuse('PID', host.PidMode);
  // Whether the container is named is seen at the start alone.
  if (host.IpcMode !== 'container:' && !valid(host.IpcMode, ['', 'host', 'none', 'private', 'shareable']))
    refuse('IPC', host.IpcMode);
  if (!['', 'host'].includes(host.UTSMode)) refuse('UTS', host.UTSMode);
  if (!['', 'host'].includes(host.UsernsMode)) refuse('userns', host.UsernsMode);
  if (!['', 'host', 'private'].includes(host.CgroupnsMode))
    throw new WherryError('invalid', `invalid cgroup namespace mode: ${host.CgroupnsMode}`);
  if (!['', 'default'].includes(host.Isolation.toLowerCase()))
    throw new WherryError('internal', `Invalid isolation: "${host.Isolation}" - linux only supports 'default'`);
}

function valid(mode: string, words: readonly string[]): boolean {
  return words.includes(mode) || (containerOfMode(mode) ?? '') !== '';
}
