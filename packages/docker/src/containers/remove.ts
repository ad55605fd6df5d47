import { codeOf, WherryError } from '@wherry/base';
import type { Ender } from '../lifecycle/ending.ts';
import type { Remover } from '../lifecycle/remover.ts';
import type { Container } from './container.ts';
import { type DockerContext, save } from './context.ts';
import { withoutLink } from './link-names.ts';

/** What ends containers and takes them away. */
export interface Removal {
  readonly ender: Ender;
  readonly remover: Remover;
}

interface RemoveRequest {
  readonly container: Container;
  /** As the user has it. */
  readonly reference: string;
  readonly force: boolean;
  readonly volumes: boolean;
}

/** `docker rm`. Throws `conflict` for what runs or is being removed. */
export async function removeContainer(
  { registry }: DockerContext,
  { ender, remover }: Removal,
  { container, reference, force, volumes }: RemoveRequest,
): Promise<void> {
  if (container.phase === 'removing')
    throw new WherryError('conflict', `removal of container ${reference} is already in progress`);
  if (force) await endForRemoval(ender, container);
  await container.lock.run(async () => {
    if (registry.get(container.id) !== container) return;
    refuseRemoval(container);
    await remover.remove(container, { volumes });
  });
}

/** `docker rm --link PARENT/ALIAS`: the link goes, both containers stay. `writeFiles` tells a parent that runs. */
export async function removeLink(
  context: DockerContext,
  reference: string,
  writeFiles: (parent: Container) => Promise<void>,
): Promise<void> {
  const [parentName = '', alias] = reference.replace(/^\//, '').split('/', 2);
  if (alias === undefined)
    throw new WherryError('internal', 'Conflict, cannot remove the default link name of the container');
  const parent = context.registry.find(parentName);
  await parent.lock.run(async () => {
    const record = withoutLink(parent.record, alias);
    if (record === undefined) return;
    parent.change(record);
    await save(context, parent, true);
    if (parent.alive) await writeFiles(parent);
  });
}

async function endForRemoval(ender: Ender, container: Container): Promise<void> {
  if (container.phase === 'restarting') await ender.stop(container, { manual: true });
  if (!container.alive) return;
  try {
    await ender.kill(container);
  } catch (error) {
    if (codeOf(error) !== 'conflict') throw error;
  }
}

function refuseRemoval(container: Container): void {
  const why =
    container.phase === 'paused'
      ? 'container is paused and must be unpaused first'
      : container.phase === 'restarting'
        ? 'container is restarting: stop the container before removing or force remove'
        : container.alive
          ? 'container is running: stop the container before removing or force remove'
          : undefined;
  if (why !== undefined) throw new WherryError('conflict', `cannot remove container "/${container.name}": ${why}`);
}
