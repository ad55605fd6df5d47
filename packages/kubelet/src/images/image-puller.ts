import type { V1Container, V1Pod, V1Secret } from '@wherry/api';
import { type Clock, codeOf, messageOf, WherryError } from '@wherry/base';
import { repositoryOf, tryParseReference } from '@wherry/oci';
import type { ImageService, ImageStatus } from '@wherry/runtime';
import { type BackOff, type BackOffSettings, backOffLeft, goDuration, nextBackOff } from '../pod/back-off.ts';
import { registryAuths } from './registry-auth.ts';

/** Why a container cannot start: the reason and message of its waiting state, and when to try again. */
export class StartFailure extends WherryError {
  readonly reason: string;
  /** Milliseconds after which another try may help; `undefined`: only a change does. */
  readonly retryAfterMs: number | undefined;

  constructor(reason: string, message: string, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(codeOf(options.cause) ?? 'unavailable', message, { cause: options.cause });
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

export type RecordEvent = (type: 'Normal' | 'Warning', reason: string, message: string) => void;

export interface ImageRequest {
  readonly pod: V1Pod;
  readonly container: V1Container;
  readonly secrets: readonly V1Secret[];
  readonly record: RecordEvent;
  readonly signal: AbortSignal;
}

/** Sees to it that the image of a container is here, as `imagePullPolicy` says, with one pull per image at a time. */
export class ImagePuller {
  readonly #images: ImageService;
  readonly #clock: Clock;
  readonly #settings: BackOffSettings;
  readonly #backOffs = new Map<string, BackOff & { readonly failedAt: number }>();
  readonly #pulls = new Map<string, Promise<string>>();

  constructor(images: ImageService, clock: Clock, settings: BackOffSettings) {
    this.#images = images;
    this.#clock = clock;
    this.#settings = settings;
  }

  /** The image, ready to run. Throws `StartFailure` with upstream's reasons and words. */
  async ensure(request: ImageRequest): Promise<ImageStatus> {
    const image = request.container.image ?? '';
    const policy = request.container.imagePullPolicy ?? defaultPolicy(image);
    const present = await this.#present(image, request);
    if (present && (policy !== 'Always' || isOfThisMachine(image, present))) {
      request.record('Normal', 'Pulled', `Container image "${image}" already present on machine`);
      return present;
    }
    if (policy === 'Never') {
      const message = `Container image "${image}" is not present with pull policy of Never`;
      request.record('Warning', 'ErrImageNeverPull', message);
      throw new StartFailure('ErrImageNeverPull', message, { retryAfterMs: 10_000 });
    }
    this.#checkBackOff(image, request);
    return this.#pull(image, request);
  }

  /** Forgets back-offs that no longer matter. */
  prune(): void {
    const now = this.#clock.now();
    for (const [key, backOff] of this.#backOffs)
      if (now - backOff.updatedAt > 2 * this.#settings.maximumMs) this.#backOffs.delete(key);
  }

  async #present(image: string, { record }: ImageRequest): Promise<ImageStatus | undefined> {
    try {
      return await this.#images.imageStatus(image);
    } catch (error) {
      if (codeOf(error) === 'invalid') {
        const message = `Failed to apply default image tag "${image}": couldn't parse image name "${image}": ${messageOf(error)}`;
        record('Warning', 'InspectFailed', message);
        throw new StartFailure('InvalidImageName', message, { cause: error });
      }
      const message = `Failed to inspect image "${image}": ${messageOf(error)}`;
      record('Warning', 'InspectFailed', message);
      throw new StartFailure('ImageInspectError', message, { cause: error, retryAfterMs: 10_000 });
    }
  }

  #checkBackOff(image: string, { pod, record }: ImageRequest): void {
    const key = `${pod.metadata?.uid}_${image}`;
    const backOff = this.#backOffs.get(key);
    if (backOff === undefined) return;
    const left = backOffLeft(backOff, backOff.failedAt, this.#clock.now(), this.#settings);
    if (left <= 0) return;
    record('Normal', 'BackOff', `Back-off pulling image "${image}"`);
    throw new StartFailure('ImagePullBackOff', `Back-off pulling image "${image}"`, { retryAfterMs: left });
  }

  async #pull(image: string, request: ImageRequest): Promise<ImageStatus> {
    const { record, signal, pod } = request;
    const key = `${pod.metadata?.uid}_${image}`;
    const began = this.#clock.now();
    record('Normal', 'Pulling', `Pulling image "${image}"`);
    try {
      const id = await this.#pullOnce(image, request);
      const status = await this.#images.imageStatus(id);
      if (status === undefined) throw new WherryError('notFound', `image ${image} vanished after its pull`);
      const took = goDuration(Math.max(this.#clock.now() - began, 1));
      const words = `Successfully pulled image "${image}" in ${took} (${took} including waiting).`;
      record('Normal', 'Pulled', `${words} Image size: ${status.sizeBytes} bytes.`);
      this.#backOffs.delete(key);
      return status;
    } catch (error) {
      if (signal.aborted) throw error;
      const now = this.#clock.now();
      const next = nextBackOff(this.#backOffs.get(key), now, now, this.#settings);
      this.#backOffs.set(key, { ...next, failedAt: now });
      record('Warning', 'Failed', `Failed to pull image "${image}": ${messageOf(error)}`);
      record('Warning', 'Failed', 'Error: ErrImagePull');
      // A moment later the state becomes ImagePullBackOff; the pull itself is due when the back-off ends.
      throw new StartFailure('ErrImagePull', messageOf(error), { cause: error, retryAfterMs: 1000 });
    }
  }

  async #pullOnce(image: string, { secrets }: ImageRequest): Promise<string> {
    const auths = registryAuths(image, secrets);
    const key = `${image}\0${JSON.stringify(auths)}`;
    const running = this.#pulls.get(key);
    if (running) return running;
    // A pull that several pods wait for goes on when the first of them is deleted.
    const pull = this.#attempts(image, auths).finally(() => this.#pulls.delete(key));
    this.#pulls.set(key, pull);
    return pull;
  }

  async #attempts(image: string, auths: ReturnType<typeof registryAuths>): Promise<string> {
    let failure: unknown;
    for (const auth of auths.length > 0 ? auths : [undefined]) {
      try {
        return await this.#images.pullImage(image, auth === undefined ? {} : { auth });
      } catch (error) {
        failure = error;
        if (codeOf(error) !== 'unauthorized' && codeOf(error) !== 'forbidden') throw error;
      }
    }
    throw failure;
  }
}

/**
 * Whether an image was built or loaded here under this name and has never been in the registry that the name stands
 * for: then there is nothing to ask that registry for, whatever the policy (decision 0011).
 */
function isOfThisMachine(image: string, { repoDigests }: ImageStatus): boolean {
  const reference = tryParseReference(image);
  if (reference === undefined || reference.digest !== undefined) return false;
  const prefix = `${repositoryOf(reference)}@`;
  return !repoDigests.some((digest) => digest.startsWith(prefix));
}

/** Always for `:latest` and untagged names, else IfNotPresent (the API sets it; this is for objects without). */
function defaultPolicy(image: string): string {
  const name = image.slice(image.lastIndexOf('/') + 1);
  if (image.includes('@')) return 'IfNotPresent';
  return !name.includes(':') || name.endsWith(':latest') ? 'Always' : 'IfNotPresent';
}
