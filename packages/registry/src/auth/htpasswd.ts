import { createHmac, randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { type Logger, messageOf, WherryError } from '@wherry/base';
import { watchFiles } from '../tls-files.ts';
import type { PasswordCheck } from './authentication.ts';
import { BcryptCompare } from './bcrypt-compare.ts';

const bcryptHash = /^\$2[abxy]?\$(\d\d)\$[./A-Za-z0-9]{53}$/;
/** Above it, one comparison takes minutes. */
const highestCost = 16;
/** What nobody's password is: compared with where there is no such user, so that both take as long. */
const nobody = '$2b$10$abcdefghijklmnopqrstuuVd1y4vFyQRnCzXw0uH1yyYp0zN0hO3e';
const longestPassword = 72;
const mostRemembered = 10_000;

/**
 * Users of a file as Apache's `htpasswd -B` writes it: `name:bcrypt`. Other hashes are refused, as the reference
 * registry does. Read again when it changes; right passwords are remembered, keyed, until then.
 */
export class Htpasswd implements PasswordCheck, AsyncDisposable {
  readonly #file: string;
  readonly #log: Logger;
  readonly #compare = new BcryptCompare();
  readonly #key = randomBytes(32);
  /** Of the file as it was read last. */
  #version: string | undefined;
  #hashes: ReadonlyMap<string, string> = new Map();
  #right = new Map<string, string>();
  #watching: Disposable | undefined;
  readonly #pending = new Map<string, Promise<boolean>>();

  private constructor(file: string, log: Logger) {
    this.#file = file;
    this.#log = log;
  }

  /** Throws `invalid` for a file that cannot be used. */
  static async open(file: string, log: Logger): Promise<Htpasswd> {
    const users = new Htpasswd(file, log);
    users.#hashes = await users.#read();
    users.#watching = watchFiles([file], () => void users.#reload());
    return users;
  }

  async verify(user: string, password: string): Promise<boolean> {
    if (await this.#isRight(user, password)) return true;
    // Who was just given a password need not wait until the change is told of.
    return (await this.#reloadIfChanged()) && (await this.#isRight(user, password));
  }

  async #isRight(user: string, password: string): Promise<boolean> {
    // bcrypt would take the first part of a longer one for the whole.
    if (Buffer.byteLength(password) > longestPassword) return false;
    const hash = this.#hashes.get(user);
    const seal = createHmac('sha256', this.#key).update(`${user.length}:${user}${hash}:${password}`).digest('base64');
    if (hash !== undefined && this.#right.get(user) === seal) return true;
    // Clients open several connections at once with the same password.
    let pending = this.#pending.get(seal);
    if (pending === undefined) {
      pending = this.#compare.compare(password, hash ?? nobody).finally(() => this.#pending.delete(seal));
      this.#pending.set(seal, pending);
    }
    const right = (await pending) && hash !== undefined;
    if (right && this.#right.size < mostRemembered) this.#right.set(user, seal);
    return right && this.#hashes.get(user) === hash;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watching?.[Symbol.dispose]();
    await this.#compare[Symbol.asyncDispose]();
  }

  async #reloadIfChanged(): Promise<boolean> {
    const before = this.#version;
    if ((await versionOf(this.#file)) === before) return false;
    await this.#reload();
    return this.#version !== before;
  }

  async #reload(): Promise<void> {
    try {
      this.#hashes = await this.#read();
      this.#right = new Map();
      this.#log.info('users loaded', { file: this.#file, users: this.#hashes.size });
    } catch (error) {
      this.#log.warn('users not loaded; the last ones stay', { file: this.#file, error: messageOf(error) });
    }
  }

  async #read(): Promise<ReadonlyMap<string, string>> {
    this.#version = await versionOf(this.#file);
    const text = await readFile(this.#file, 'utf8').catch((error: unknown) => {
      throw new WherryError('invalid', `htpasswd file ${this.#file}: ${messageOf(error)}`, { cause: error });
    });
    return parseHtpasswd(text, this.#file);
  }
}

/** Another one for another file, or other content. */
async function versionOf(file: string): Promise<string | undefined> {
  return await stat(file).then(
    ({ ino, size, mtimeMs, ctimeMs }) => [ino, size, mtimeMs, ctimeMs].join(' '),
    () => undefined,
  );
}

/** Users and their hashes. Throws `invalid`, with the line. */
export function parseHtpasswd(text: string, file: string): ReadonlyMap<string, string> {
  const users = new Map<string, string>();
  for (const [index, line] of text.split('\n').entries()) {
    const entry = line.trim();
    if (entry === '' || entry.startsWith('#')) continue;
    const colon = entry.indexOf(':');
    const hash = entry.slice(colon + 1);
    const cost = bcryptHash.exec(hash)?.[1];
    const why =
      colon < 1
        ? 'is not name:hash'
        : cost === undefined
          ? 'has no bcrypt hash (write it with "htpasswd -B")'
          : Number(cost) > highestCost
            ? `has a bcrypt cost above ${highestCost}`
            : undefined;
    if (why !== undefined) throw new WherryError('invalid', `htpasswd file ${file}: line ${index + 1} ${why}`);
    users.set(entry.slice(0, colon), hash);
  }
  return users;
}
