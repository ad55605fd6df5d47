import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { createSecureContext } from 'node:tls';
import { type Logger, messageOf, WherryError } from '@wherry/base';

export interface TlsSecrets {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** A certificate and its key, as files that somebody renews. */
export class TlsFiles {
  readonly #certificate: string;
  readonly #key: string;

  constructor({ certificate, key }: { readonly certificate: string; readonly key: string }) {
    this.#certificate = certificate;
    this.#key = key;
  }

  /** Reads both. Throws `invalid` for what is missing or does not fit. */
  async read(): Promise<TlsSecrets> {
    try {
      const [cert, key] = await Promise.all([readFile(this.#certificate), readFile(this.#key)]);
      createSecureContext({ cert, key });
      return { cert, key };
    } catch (error) {
      throw new WherryError('invalid', `TLS certificate ${this.#certificate}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Calls `use` with what the files hold after each change; a pair that does not fit (yet) changes nothing. */
  watch(use: (secrets: TlsSecrets) => void, log: Logger): Disposable {
    return watchFiles([this.#certificate, this.#key], () => {
      this.read().then(
        (secrets) => {
          use(secrets);
          log.info('TLS certificate loaded', { file: this.#certificate });
        },
        (error: unknown) => log.warn('TLS certificate not loaded; the last one stays', { error: messageOf(error) }),
      );
    });
  }
}

/** Within which changes count as one, ms: a renewal writes two files. */
const settling = 100;

/**
 * Calls `changed` after any of the files changed. Watches their folders: files are replaced by renaming, and
 * Kubernetes' volumes by a link beside them.
 */
export function watchFiles(files: readonly string[], changed: () => void): Disposable {
  let timer: NodeJS.Timeout | undefined;
  const names = new Set(files.map((file) => basename(file)));
  const watchers: FSWatcher[] = [...new Set(files.map((file) => dirname(file)))].map((folder) =>
    watch(folder, { persistent: false }, (_event, name) => {
      if (name !== null && !names.has(name) && !name.startsWith('..')) return;
      clearTimeout(timer);
      timer = setTimeout(changed, settling);
      timer.unref();
    }),
  );
  for (const watcher of watchers) watcher.on('error', () => undefined);
  return {
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}
