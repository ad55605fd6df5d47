import type { ContainerStatus } from '@wherry/runtime';
import { type ObservedPod, observedPod, podLabels } from './labels.ts';
import type { PodScope } from './pod-scope.ts';
import { containersOf } from './resources.ts';
import { terminationMessage } from './termination-message.ts';

/** Name of an image and the digest it came with, as a container's status has them; loaded images have their id only. */
export interface ShownImage {
  readonly image: string;
  readonly imageID: string;
}

/** Looks at what the runtime has of one pod; remembers what takes files and look-ups to find out. */
export class PodObserver {
  readonly #scope: PodScope;
  readonly #messages = new Map<string, string>();
  readonly #imageNames = new Map<string, ShownImage>();

  constructor(scope: PodScope) {
    this.#scope = scope;
  }

  /** Termination messages by container id. */
  get messages(): ReadonlyMap<string, string> {
    return this.#messages;
  }

  /** How images are shown, by image id. */
  get imageNames(): ReadonlyMap<string, ShownImage> {
    return this.#imageNames;
  }

  async observe(): Promise<ObservedPod> {
    const { runtime } = this.#scope.node;
    const labels = { [podLabels.uid]: this.#scope.uid };
    const [sandboxes, containers] = await Promise.all([
      runtime.listPodSandboxes({ labels }),
      runtime.listContainers({ labels }),
    ]);
    for (const run of containers) {
      if (run.state === 'exited' && !this.#messages.has(run.id))
        this.#messages.set(run.id, await terminationMessage(run));
      if (!this.#imageNames.has(run.imageId)) this.#imageNames.set(run.imageId, await this.#imageName(run));
    }
    return observedPod(sandboxes, containers);
  }

  forget(containerId: string): void {
    this.#messages.delete(containerId);
  }

  async #imageName(run: ContainerStatus): Promise<ShownImage> {
    const { node, pod } = this.#scope;
    const status = await node.images.imageStatus(run.imageId).catch(() => undefined);
    const wanted = containersOf(pod()).find(({ name }) => name === run.metadata.name)?.image ?? run.image;
    const digests = status?.repoDigests ?? [];
    const image = shownName(wanted, status?.repoTags ?? [], digests);
    const repository = image.replace(/@.*$/, '').replace(/:[^/]*$/, '');
    const imageID = digests.find((digest) => digest.startsWith(`${repository}@`)) ?? digests[0] ?? run.imageId;
    return { image, imageID };
  }
}

/** The name under which an image is shown: its full name that matches what the pod says. */
export function shownName(wanted: string, tags: readonly string[], digests: readonly string[]): string {
  const names = [...tags, ...digests];
  const tagged =
    wanted.includes('@') || wanted.slice(wanted.lastIndexOf('/') + 1).includes(':') ? wanted : `${wanted}:latest`;
  return names.find((name) => name === tagged || name.endsWith(`/${tagged}`)) ?? names[0] ?? wanted;
}
