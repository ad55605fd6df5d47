import { formatReference, tryParseReference } from '@wherry/oci';
import type { Container } from '../containers/container.ts';
import type { Filters, JsonObject } from '../containers/containers.ts';
import type { DockerContext } from '../containers/context.ts';
import { namesThroughLinks } from '../containers/link-names.ts';
import { millisecondsOf, parseNano } from '../times.ts';
import { commandLine } from './command-line.ts';
import { containerFilter, type ListScope } from './filters.ts';
import { mountView, sizesOf } from './inspect.ts';
import { networksView, portSummary } from './network-settings.ts';
import { listPodContainers } from './pod-containers.ts';
import { statusWords } from './status-words.ts';

export interface ListOptions extends ListScope {
  readonly limit?: number;
  readonly size: boolean;
  readonly filters: Filters;
}

/** `docker ps`: newest first. */
export async function listContainers(context: DockerContext, options: ListOptions): Promise<JsonObject[]> {
  const matches = await containerFilter(context, options.filters, options);
  const sorted = newestFirst(context.registry.all()).filter(matches);
  const limit = options.limit ?? 0;
  const taken = limit > 0 ? sorted.slice(0, limit) : sorted;
  const names = new Map(
    (await context.images.summaries()).map(({ id, names, digests }) => [id as string, [id, ...names, ...digests]]),
  );
  const own = await Promise.all(taken.map((container) => summaryOf(context, container, names, options.size)));
  return [...own, ...(await listPodContainers(context, options.filters, options))];
}

export function newestFirst(containers: readonly Container[]): Container[] {
  return [...containers].sort((left, right) => {
    const a = parseNano(left.record.created);
    const b = parseNano(right.record.created);
    return a < b ? 1 : a > b ? -1 : left.id < right.id ? -1 : 1;
  });
}

/** Whether an image with these names (its id among them) is still what a container's creator said. */
function means(names: readonly string[] = [], said: string): boolean {
  const id = names[0] ?? '';
  if (id.startsWith(said) || id.startsWith(`sha256:${said}`)) return id !== '';
  const reference = tryParseReference(said);
  return reference !== undefined && names.includes(formatReference(reference));
}

async function summaryOf(
  context: DockerContext,
  container: Container,
  names: ReadonlyMap<string, readonly string[]>,
  size: boolean,
): Promise<JsonObject> {
  const { record } = container;
  // One whose image has lost its name is shown with the image's id.
  const image = means(names.get(record.imageId), record.config.Image) ? record.config.Image : record.imageId;
  return {
    Id: record.id,
    Names: [record.name, ...namesThroughLinks(context.registry.all(), container)].map((name) => `/${name}`),
    Image: image,
    ImageID: record.imageId,
    Command: commandLine(record.path, record.args),
    Created: Math.floor(millisecondsOf(record.created) / 1000),
    Ports: portSummary(context, container),
    ...(size ? withoutZero(await sizesOf(context, container)) : {}),
    Labels: record.config.Labels,
    State: record.state.phase,
    Status: statusWords(container, context.clock.now()),
    HostConfig: {
      NetworkMode: record.host.NetworkMode,
      ...(record.host.Annotations === undefined ? {} : { Annotations: record.host.Annotations }),
    },
    NetworkSettings: { Networks: withoutNames(networksView(context, container)) },
    Mounts: record.mounts.map(mountView),
  };
}

/** A summary has no names of the DNS. */
function withoutNames(networks: Readonly<Record<string, JsonObject>>): Record<string, JsonObject> {
  return Object.fromEntries(Object.entries(networks).map(([name, view]) => [name, { ...view, DNSNames: null }]));
}

/** As Go leaves it out: nothing was written. */
function withoutZero({ SizeRw, ...others }: Awaited<ReturnType<typeof sizesOf>>): JsonObject {
  return SizeRw === 0 ? others : { SizeRw, ...others };
}
