import { badRequestError, statusError, type V1Pod } from '@wherry/api';
import type { PodKey, PodStreams } from '@wherry/runtime';
import type { Core } from '../pipeline/core.ts';
import { getObject } from '../pipeline/read.ts';
import type { Target } from '../pipeline/request.ts';

export interface PodAddress {
  readonly pod: V1Pod;
  readonly key: PodKey;
}

/** The pod of a stream request. Error 404. */
export function podOf(core: Core, target: Target): PodAddress {
  const pod = getObject(core, target).object as V1Pod;
  const { name, namespace, uid } = pod.metadata!;
  return { pod, key: { name: name!, namespace: namespace!, uid } };
}

/** The container asked for, or the only one. Errors: 400 in upstream's words. */
export function containerOf(pod: V1Pod, asked: string): string {
  const name = pod.metadata!.name!;
  const names = (list: readonly { name: string }[] | undefined): string[] => (list ?? []).map((c) => c.name);
  const containers = names(pod.spec?.containers);
  const init = names(pod.spec?.initContainers);
  const ephemeral = names(pod.spec?.ephemeralContainers);
  if (asked !== '') {
    if ([...containers, ...init, ...ephemeral].includes(asked)) return asked;
    throw badRequestError(`container ${asked} is not valid for pod ${name}`);
  }
  if (containers.length === 1) return containers[0]!;
  if (containers.length === 0) throw badRequestError(`a container name must be specified for pod ${name}`);
  let text = `a container name must be specified for pod ${name}, choose one of: [${containers.join(' ')}]`;
  if (init.length > 0) text += ` or one of the init containers: [${init.join(' ')}]`;
  if (ephemeral.length > 0) text += ` or one of the ephemeral containers: [${ephemeral.join(' ')}]`;
  throw badRequestError(text);
}

/** The streams of the node that a pod is on. Errors: 400 without a node, 503 when the node does not answer. */
export function streamsOf(pod: V1Pod, find: (node: string) => PodStreams | undefined): PodStreams {
  const node = pod.spec?.nodeName;
  if (!node) throw badRequestError(`pod ${pod.metadata!.name} does not have a host assigned`);
  const streams = find(node);
  if (streams === undefined) throw statusError('unavailable', `node ${JSON.stringify(node)} does not answer`);
  return streams;
}
