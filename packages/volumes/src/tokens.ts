import type { Clock } from '@wherry/base';
import type { ServiceAccountToken, TokenQuery, VolumeObjects } from './objects.ts';

interface Held extends ServiceAccountToken {
  readonly issuedAt: number;
}

/** When a token is replaced: after 80 % of its life, at the latest after a day, as upstream's token cache. */
export function tokenRefreshAt(token: { readonly issuedAt: number; readonly expiresAt: number }): number {
  const life = token.expiresAt - token.issuedAt;
  return token.issuedAt + Math.min(life * 0.8, 24 * 3600_000);
}

/** Keeps each pod's tokens until they are due, so that a refresh of a volume does not ask for new ones. */
export class TokenCache {
  readonly #held = new Map<string, Map<string, Held>>();
  readonly #objects: VolumeObjects;
  readonly #clock: Clock;

  constructor(objects: VolumeObjects, clock: Clock) {
    this.#objects = objects;
    this.#clock = clock;
  }

  /** The token and when (ms) it should be asked for again. A due token that cannot be replaced serves until it expires. */
  async get(query: TokenQuery): Promise<{ readonly token: string; readonly refreshAt: number }> {
    const key = JSON.stringify([query.serviceAccount, query.audience, query.expirationSeconds]);
    const ofPod = this.#held.get(query.pod.uid) ?? new Map<string, Held>();
    const held = ofPod.get(key);
    const now = this.#clock.now();
    if (held && tokenRefreshAt(held) > now) return { token: held.token, refreshAt: tokenRefreshAt(held) };
    try {
      const fresh = { ...(await this.#objects.serviceAccountToken(query)), issuedAt: now };
      ofPod.set(key, fresh);
      this.#held.set(query.pod.uid, ofPod);
      return { token: fresh.token, refreshAt: tokenRefreshAt(fresh) };
    } catch (error) {
      if (held && held.expiresAt > now) return { token: held.token, refreshAt: now + 60_000 };
      throw error;
    }
  }

  /** Drops what is held for a pod. */
  forget(podUid: string): void {
    this.#held.delete(podUid);
  }
}
