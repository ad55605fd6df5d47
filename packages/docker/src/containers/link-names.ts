import { isUserDefined } from '../config/modes.ts';
import type { Container } from './container.ts';
import type { ContainerRecord } from './record.ts';

/** A link on the default bridge as its container's record has it. */
export interface LinkName {
  /** Name or id of the other container. */
  readonly target: string;
  readonly alias: string;
}

/** The links that are names of containers, too: `PARENT/ALIAS`. Those of networks that users made are none. */
export function linkNames({ host }: ContainerRecord): LinkName[] {
  if (isUserDefined(host.NetworkMode)) return [];
  return (host.Links ?? []).map((text) => {
    const [name = '', alias] = text.split(':', 2);
    const target = name.replace(/^\//, '');
    return { target, alias: (alias || target).split('/').at(-1) ?? target };
  });
}

/** `HostConfig.Links` as `docker inspect` shows it: `/TARGET:/PARENT/ALIAS`. */
export function shownLinks(record: ContainerRecord, nameOf: (target: string) => string): string[] | null {
  const links = linkNames(record).map(({ target, alias }) => `/${nameOf(target)}:/${record.name}/${alias}`);
  return links.length === 0 ? null : links;
}

/** The record without one of its links; `undefined` when it has none of that name. */
export function withoutLink(record: ContainerRecord, unwanted: string): ContainerRecord | undefined {
  const links = linkNames(record);
  const left = links.filter(({ alias }) => alias !== unwanted);
  if (left.length === links.length) return undefined;
  return withLinks(record, left);
}

/** The record with its links to `old` led to `target`; `undefined` when there are none. */
export function withLinksLed(record: ContainerRecord, old: string, target: string): ContainerRecord | undefined {
  const links = linkNames(record);
  if (!links.some((link) => link.target === old)) return undefined;
  return withLinks(
    record,
    links.map((link) => (link.target === old ? { ...link, target } : link)),
  );
}

function withLinks(record: ContainerRecord, links: readonly LinkName[]): ContainerRecord {
  const Links = links.map(({ target, alias }) => `${target}:${alias}`);
  return { ...record, host: { ...record.host, Links: Links.length === 0 ? null : Links } };
}

/** The names that others' links give a container. */
export function namesThroughLinks(all: readonly Container[], { id, name }: Container): string[] {
  return all
    .flatMap(({ record }) =>
      linkNames(record)
        .filter(({ target }) => target === name || target === id)
        .map(({ alias }) => `${record.name}/${alias}`),
    )
    .sort();
}
