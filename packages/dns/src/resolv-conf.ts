import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { errnoOf, type Logger, messageOf, parseIp } from '@wherry/base';

/** The name servers of a resolv.conf(5) text, at most three as the C library takes. */
export function nameServers(text: string): string[] {
  const servers = text.split('\n').flatMap((line) => {
    const [word, address = ''] = line.trim().split(/\s+/);
    return word === 'nameserver' && parseIp(address) !== undefined ? [address] : [];
  });
  return [...new Set(servers)].slice(0, 3);
}

/** Follows the name servers of a resolv.conf, which may be replaced or come and go. */
export class ResolvConf implements Disposable {
  readonly #path: string;
  readonly #log: Logger;
  readonly #watcher: FSWatcher | undefined;
  #servers: readonly string[] | undefined;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
    try {
      // The folder: editors and network managers replace the file by renaming.
      this.#watcher = watch(dirname(path), { persistent: false }, (_event, file) => {
        if (file === null || file === basename(path)) this.#servers = undefined;
      });
      this.#watcher.on('error', (error) =>
        log.warn('resolv.conf is not watched any more', { path, error: messageOf(error) }),
      );
    } catch (error) {
      log.warn('resolv.conf cannot be watched', { path, error: messageOf(error) });
    }
  }

  get servers(): readonly string[] {
    this.#servers ??= this.#read();
    return this.#servers;
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }

  #read(): string[] {
    try {
      return nameServers(readFileSync(this.#path, 'utf8'));
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') this.#log.warn('resolv.conf cannot be read', { error: messageOf(error) });
      return [];
    }
  }
}
