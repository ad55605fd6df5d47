import type { V1ObjectReference, V1Pod } from '@wherry/api';
import type { RecordEvent } from '../images/image-puller.ts';
import type { NodeContext } from './node-context.ts';
import type { ContainerSort } from './plan.ts';

/** Records Events about one pod and its containers. */
export class PodEvents {
  readonly #node: Pick<NodeContext, 'recordEvent'>;
  readonly #pod: () => V1Pod;

  constructor(node: Pick<NodeContext, 'recordEvent'>, pod: () => V1Pod) {
    this.#node = node;
    this.#pod = pod;
  }

  record(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#node.recordEvent(this.#reference(), type, reason, message);
  }

  /** Records events about one container (`spec.containers{c}`). */
  ofContainer(container: string, sort?: ContainerSort): RecordEvent {
    const { spec } = this.#pod();
    const isInit = sort === 'init' || spec?.initContainers?.some(({ name }) => name === container);
    const isEphemeral = spec?.ephemeralContainers?.some(({ name }) => name === container);
    const list = isInit ? 'initContainers' : isEphemeral ? 'ephemeralContainers' : 'containers';
    const fieldPath = `spec.${list}{${container}}`;
    return (type, reason, message) =>
      this.#node.recordEvent({ ...this.#reference(), fieldPath }, type, reason, message);
  }

  #reference(): V1ObjectReference {
    const { name, namespace, uid, resourceVersion } = this.#pod().metadata ?? {};
    return { apiVersion: 'v1', kind: 'Pod', name, namespace, uid, resourceVersion };
  }
}
