import type { OptionalPair } from '../dockerfile/instruction.ts';

/** Known without an `ARG`, and no part of the cache's key unless one names them (Dockerfile reference, "Predefined ARGs"). */
const proxies = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap((name) => [
  name,
  name.toLowerCase(),
]);
/** Read by the builder itself. */
const consumed = ['SOURCE_DATE_EPOCH', 'BUILDKIT_INLINE_CACHE', 'BUILDKIT_SYNTAX', 'BUILDKIT_CONTEXT_KEEP_GIT_DIR'];

/** What build arguments a stage sees: those that its `ARG`s name, and the proxies. */
export class BuildArguments {
  /** `null`: named on the command line, without a value. */
  readonly #given: ReadonlyMap<string, string | null>;
  readonly #globals: ReadonlyMap<string, string | undefined>;
  readonly #named = new Map<string, string | undefined>();
  readonly #used: Set<string>;

  private constructor(
    given: ReadonlyMap<string, string | null>,
    globals: ReadonlyMap<string, string | undefined>,
    used: Set<string>,
  ) {
    this.#given = given;
    this.#globals = globals;
    this.#used = used;
  }

  /** `predefined`: the platform arguments, which stand beneath everything else. */
  static create(
    given: Readonly<Record<string, string | null>>,
    predefined: Readonly<Record<string, string>>,
  ): BuildArguments {
    return new BuildArguments(new Map(Object.entries(given)), new Map(Object.entries(predefined)), new Set());
  }

  /** After the `ARG`s before the first `FROM`: what they named is global to every stage of the file. */
  forStage(): BuildArguments {
    return new BuildArguments(this.#given, new Map([...this.#globals, ...this.#named]), this.#used);
  }

  /** An `ARG`, expanded. */
  name(pairs: readonly OptionalPair[]): void {
    for (const { key, value } of pairs) {
      this.#named.set(key, value);
      this.#used.add(key);
    }
  }

  /** Values within a stage. */
  get(key: string): string | undefined {
    if (!this.#named.has(key) && !proxies.includes(key)) return undefined;
    return this.#given.get(key) ?? this.#named.get(key) ?? this.#globals.get(key);
  }

  /** Values in a `FROM`: the globals. */
  global(key: string): string | undefined {
    if (!this.#globals.has(key)) return undefined;
    return this.#given.get(key) ?? this.#globals.get(key);
  }

  /** Those that a command gets in its environment, sorted: an `ENV` of the same name wins. */
  environment(env: readonly string[]): readonly string[] {
    const set = new Set(env.map((entry) => entry.split('=', 1)[0]!));
    const keys = [...new Set([...this.#named.keys(), ...proxies])].filter((key) => !set.has(key));
    return keys
      .flatMap((key) => {
        const value = this.get(key);
        return value === undefined ? [] : [`${key}=${value}`];
      })
      .sort();
  }

  /** Whether an argument is part of a step's identity. */
  counts(key: string): boolean {
    return this.#named.has(key) || !proxies.includes(key);
  }

  /** Given ones that nothing named. */
  unused(): readonly string[] {
    const known = new Set([...this.#used, ...proxies, ...consumed]);
    return [...this.#given.keys()].filter((key) => !known.has(key)).sort();
  }
}
