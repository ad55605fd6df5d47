import { messageOf, WherryError } from '@wherry/base';
import type { Container } from '../containers/container.ts';
import { type DockerContext, saveIfPossible, tell } from '../containers/context.ts';

/** Removes containers that do not run. A removal that was cut off is taken up at the next start of the daemon. */
export class Remover {
  readonly #context: DockerContext;
  readonly #onRemoved: (container: Container) => void;

  constructor(context: DockerContext, onRemoved: (container: Container) => void) {
    this.#context = context;
    this.#onRemoved = onRemoved;
  }

  /** After its end, for `--rm`: with its anonymous volumes. The caller holds the lock. */
  async removeEnded(container: Container): Promise<void> {
    try {
      await this.remove(container, { volumes: true });
    } catch (error) {
      container.removalFailed(messageOf(error));
      this.#context.log.error('a container could not be removed', { container: container.id, error: messageOf(error) });
    }
  }

  /** The caller holds the lock and has seen that it does not run. */
  async remove(container: Container, options: { readonly volumes: boolean }): Promise<void> {
    const { engine, registry, store } = this.#context;
    container.change({ removesVolumes: options.volumes });
    container.enter('removing');
    // Even a power cut does not bring it back. One that removes itself is removed at the next start, whatever its record says.
    if (!container.record.host.AutoRemove) await saveIfPossible(this.#context, container, true);
    try {
      await engine.removePodSandbox(container.id);
      await this.#dropVolumes(container, options.volumes);
      await store.remove(container.id);
    } catch (error) {
      container.enter('dead');
      throw new WherryError(
        'internal',
        `container ${container.id}: driver "overlay2" failed to remove root filesystem: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
    registry.delete(container);
    this.#onRemoved(container);
    tell(this.#context, container, 'destroy');
    container.removed();
  }

  async #dropVolumes(container: Container, anonymous: boolean): Promise<void> {
    const { volumes, events, log } = this.#context;
    for (const { Type, Name, made } of container.record.mounts) {
      if (Type !== 'volume' || Name === undefined) continue;
      await volumes.release(Name, container.id);
      if (!anonymous || made.anonymous !== true || volumes.users(Name).length > 0) continue;
      try {
        await volumes.remove(Name);
        events.emit('volume', 'destroy', Name, { driver: 'local' });
      } catch (error) {
        log.warn('an anonymous volume stays', { volume: Name, error: messageOf(error) });
      }
    }
  }
}
