import { type Clock, isDiskFull, type Logger, type Random } from '@wherry/base';
import type { NanoClock } from '../times.ts';
import type { Container } from './container.ts';
import type { DockerContainersOptions, HostView } from './options.ts';
import type { RecordStore } from './record-store.ts';
import type { ContainerRegistry } from './registry.ts';

/** What the parts of docker's containers share. */
export interface DockerContext extends Omit<DockerContainersOptions, 'host' | 'clock' | 'now' | 'random' | 'log'> {
  readonly registry: ContainerRegistry;
  readonly store: RecordStore;
  readonly host: HostView;
  readonly clock: Clock;
  readonly now: NanoClock;
  readonly random: Random;
  readonly log: Logger;
}

/** Writes a container's record; `durable`: before its user is told. */
export async function save(context: DockerContext, container: Container, durable = false): Promise<void> {
  await context.store.save(container.record, { durable });
}

/** Writes a record of what happens anyway: a full disk keeps no container from its end. */
export async function saveIfPossible(context: DockerContext, container: Container, durable: boolean): Promise<void> {
  await save(context, container, durable).catch((error: unknown) => {
    if (!isDiskFull(error)) throw error;
    context.log.warn('no room for a record', { container: container.id, error });
  });
}

/** Writes a record that nobody waits for: the engine's own records say the same after a crash. */
export function saveSoon(context: DockerContext, container: Container, durable = false): void {
  context.store
    .save(container.record, { durable })
    .catch((error: unknown) => context.log.error('a container was not saved', { container: container.id, error }));
}

/** Tells of a container, with its labels, as dockerd does. */
export function tell(
  context: DockerContext,
  { record }: Container,
  action: string,
  more: Readonly<Record<string, string>> = {},
): void {
  const { config, name, id } = record;
  context.events.emit('container', action, id, { ...config.Labels, ...more, image: config.Image, name });
}
