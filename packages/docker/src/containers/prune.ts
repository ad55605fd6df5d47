import { codeOf, WherryError } from '@wherry/base';
import { timeOrAge } from '../time-or-age.ts';
import { millisecondsOf } from '../times.ts';
import { addLabels } from '../view/filters.ts';
import type { Container } from './container.ts';
import type { Filters } from './containers.ts';
import type { DockerContext } from './context.ts';

/** Removes every container that does not run and passes the filters. */
export async function pruneContainers(
  context: DockerContext,
  filters: Filters,
  remove: (container: Container) => Promise<void>,
): Promise<{ readonly ContainersDeleted: readonly string[] | null; readonly SpaceReclaimed: number }> {
  for (const name of filters.keys())
    if (!['label', 'label!', 'until'].includes(name)) throw new WherryError('invalid', `invalid filter '${name}'`);
  const tests: ((container: Container) => boolean)[] = [];
  addLabels(filters, tests);
  const until = filters.get('until') ?? [];
  if (until.length > 1) throw new WherryError('invalid', 'more than one until filter specified');
  if (until[0] !== undefined) {
    const border = timeOrAge(until[0], context.clock.now());
    tests.push(({ record }) => millisecondsOf(record.created) < border);
  }
  const deleted: string[] = [];
  let bytes = 0;
  for (const container of context.registry.all()) {
    const idle = ['created', 'exited', 'dead'].includes(container.phase);
    if (!idle || !tests.every((test) => test(container))) continue;
    const size = await context.engine.writableLayerSize(container.id).catch(() => 0);
    try {
      await remove(container);
    } catch (error) {
      if (codeOf(error) === 'conflict' || codeOf(error) === 'notFound') continue;
      throw error;
    }
    deleted.push(container.id);
    bytes += size;
  }
  context.events.emit('container', 'prune', '', { reclaimed: String(bytes) });
  return { ContainersDeleted: deleted.length === 0 ? null : deleted, SpaceReclaimed: bytes };
}
