import { codeOf, WherryError } from '@wherry/base';
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
    const border = momentOf(until[0], context.clock.now());
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

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `24h`, `1h30m`, `2026-01-02`, `2026-01-02T03:04:05`, or seconds since the epoch; ms. */
export function momentOf(text: string, now: number): number {
  if (/^[0-9]+(?:\.[0-9]+)?$/.test(text)) return Number(text) * 1000;
  if (/^(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+$/.test(text)) {
    const parts = text.matchAll(/([0-9.]+)(ms|s|m|h)/g);
    return (
      now - [...parts].reduce((sum, [, value, unit]) => sum + Number(value) * (units[unit as string] as number), 0)
    );
  }
  const moment = Date.parse(/[zZ]|[+-][0-9]{2}:[0-9]{2}$/.test(text) ? text : /T/.test(text) ? `${text}Z` : text);
  if (!Number.isFinite(moment))
    throw new WherryError('invalid', `failed to parse value as time or duration: ${JSON.stringify(text)}`);
  return moment;
}
