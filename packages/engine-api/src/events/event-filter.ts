import type { DockerEvent, Filters } from '@wherry/docker';
import { matchesLabels } from '../http/filters.ts';

/** Whether `GET /events` gives an event, by dockerd's rules: each filter's values are alternatives. */
export function matchesEvent(event: DockerEvent, filters: Filters): boolean {
  const { Type, Action, Actor } = event;
  return (
    isOneOf(filters.get('type'), Type) &&
    isOneOf(filters.get('scope'), event.scope) &&
    matchesAction(filters.get('event'), Action) &&
    ['container', 'plugin', 'volume', 'network', 'daemon', 'service', 'node', 'secret', 'config'].every((type) =>
      matchesSubject(filters.get(type), event),
    ) &&
    matchesImage(filters.get('image'), event) &&
    (!filters.has('label') || matchesLabels(Actor.Attributes, filters.get('label')))
  );
}

function isOneOf(values: readonly string[] | undefined, value: string): boolean {
  return values === undefined || values.length === 0 || values.includes(value);
}

/** `exec_create: ls` is meant by `exec_create`, too. */
function matchesAction(values: readonly string[] | undefined, action: string): boolean {
  const colon = action.indexOf(': ');
  return isOneOf(values, action) || (colon > 0 && isOneOf(values, action.slice(0, colon)));
}

/** By id or name, or what they begin with: of whatever kind, as dockerd has it. */
function matchesSubject(values: readonly string[] | undefined, { Actor }: DockerEvent): boolean {
  if (values === undefined || values.length === 0) return true;
  const name = Actor.Attributes.name ?? '';
  return values.some((value) => Actor.ID.startsWith(value) || name.startsWith(value));
}

function matchesImage(values: readonly string[] | undefined, { Type, Actor }: DockerEvent): boolean {
  if (values === undefined || values.length === 0) return true;
  const name = Actor.Attributes[Type === 'image' ? 'name' : 'image'] ?? '';
  return [Actor.ID, name, withoutTag(Actor.ID), withoutTag(name)].some((known) => values.includes(known));
}

function withoutTag(name: string): string {
  return name.replace(/@.*$/, '').replace(/:[^/]*$/, '');
}
