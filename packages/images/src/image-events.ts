import { type Logger, messageOf } from '@wherry/base';
import type { ImageEvent } from './image-library.ts';

/** Tells listeners of changes of images, as they happen. */
export class ImageEvents {
  readonly #listeners = new Set<(event: ImageEvent) => void>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  on(listener: (event: ImageEvent) => void): Disposable {
    const own = (event: ImageEvent): void => listener(event);
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  emit(event: ImageEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#log.error('a listener of image events failed', { action: event.action, error: messageOf(error) });
      }
    }
  }
}
