import { WherryError } from '@wherry/base';
import type { ImageConfig } from '@wherry/oci';
import { define } from './body-reader.ts';
import type { ContainerConfig, HealthConfig } from './types.ts';

/** Fills a container's config in from its image, as dockerd does. Throws `no command specified`. */
export function mergeImage(config: ContainerConfig, image: NonNullable<ImageConfig['config']>): void {
  config.User ||= image.User ?? '';
  const exposed = { ...image.ExposedPorts, ...config.ExposedPorts };
  if (Object.keys(exposed).length > 0) config.ExposedPorts = exposed;
  mergeEnvironment(config, image.Env ?? []);
  for (const [key, value] of Object.entries(image.Labels ?? {}))
    if (!Object.hasOwn(config.Labels, key)) define(config.Labels, key, value);
  mergeCommand(config, image);
  mergeHealth(config, image.Healthcheck as HealthConfig | undefined);
  config.WorkingDir ||= image.WorkingDir ?? '';
  if (Object.keys(config.Volumes ?? {}).length === 0) {
    const volumes = image.Volumes ?? null;
    config.Volumes = volumes === null || Object.keys(volumes).length === 0 ? null : { ...volumes };
  } else config.Volumes = { ...image.Volumes, ...config.Volumes };
  if ((image.StopSignal ?? '') !== '') config.StopSignal ??= image.StopSignal as string;
  if ((image.Shell ?? []).length > 0) config.Shell ??= [...(image.Shell ?? [])];
}

/** The image's variables that the container does not set come after its own. */
function mergeEnvironment(config: ContainerConfig, image: readonly string[]): void {
  const own = config.Env ?? [];
  const names = new Set(own.map(nameOf));
  const more = image.filter((variable) => !names.has(nameOf(variable)));
  config.Env = own.length === 0 ? (image.length === 0 ? config.Env : [...image]) : [...own, ...more];
}

const nameOf = (variable: string): string => variable.split('=', 1)[0] ?? '';

function mergeCommand(config: ContainerConfig, image: NonNullable<ImageConfig['config']>): void {
  if ((config.Entrypoint ?? []).length === 0) {
    if ((config.Cmd ?? []).length === 0) config.Cmd = image.Cmd == null ? null : [...image.Cmd];
    if (config.Entrypoint === null) config.Entrypoint = image.Entrypoint == null ? null : [...image.Entrypoint];
  }
  // An entrypoint of one empty word takes the image's away.
  if (config.Entrypoint?.length === 1 && config.Entrypoint[0] === '') config.Entrypoint = null;
  if ((config.Entrypoint ?? []).length === 0 && (config.Cmd ?? []).length === 0)
    throw new WherryError('invalid', 'no command specified');
}

function mergeHealth(config: ContainerConfig, image: HealthConfig | undefined): void {
  if (image === undefined) return;
  const own = config.Healthcheck;
  const merged: HealthConfig = { ...image };
  if (own !== undefined) Object.assign(merged, own);
  config.Healthcheck = merged;
}
