import { WherryError } from '@wherry/base';

/** What can be done to a repository. */
export type Action = 'pull' | 'push' | 'delete';

export const actions: readonly Action[] = ['pull', 'push', 'delete'];

/** Allows users something in repositories. What no rule allows is denied. */
export interface AccessRule {
  /** Names; `*` for everybody, `@users` for whoever is logged in. */
  readonly users: readonly string[];
  /** Names; `*` stands for any characters of one part, `**` for any at all: `team/*`, `mirror/**`. */
  readonly repositories: readonly string[];
  readonly actions: readonly Action[];
}

/** Every user everything: what holds where no rules are given. */
export const defaultRules: readonly AccessRule[] = [{ users: ['@users'], repositories: ['**'], actions }];

/** Decides by rules. */
export class AccessRules {
  readonly #rules: readonly { readonly rule: AccessRule; readonly repositories: readonly RegExp[] }[];

  constructor(rules: readonly AccessRule[]) {
    this.#rules = rules.map((rule) => ({ rule, repositories: rule.repositories.map(patternOf) }));
  }

  /** `user` is undefined for whoever is not logged in. */
  allows(user: string | undefined, repository: string, action: Action): boolean {
    return this.#rules.some(
      ({ rule, repositories }) =>
        rule.actions.includes(action) &&
        rule.users.some((name) => name === '*' || (user !== undefined && (name === '@users' || name === user))) &&
        repositories.some((pattern) => pattern.test(repository)),
    );
  }
}

/** Reads rules as a configuration file gives them: a list, or `{rules: [...]}`. Throws `invalid`. */
export function parseAccessRules(value: unknown): readonly AccessRule[] {
  const rules = Array.isArray(value) ? value : (value as { rules?: unknown } | null)?.rules;
  if (!Array.isArray(rules)) throw invalid('there is no list of rules');
  return rules.map((rule: unknown, index) => {
    const where = `rule ${index + 1}`;
    if (typeof rule !== 'object' || rule === null) throw invalid(`${where} is no object`);
    for (const field of Object.keys(rule))
      if (!['users', 'repositories', 'actions'].includes(field))
        throw invalid(`${where} has an unknown field ${JSON.stringify(field)}`);
    const { users, repositories, actions: allowed } = rule as Record<string, unknown>;
    const named = strings(allowed, `${where}: actions`);
    const unknown = named.find((action) => action !== '*' && !actions.includes(action as Action));
    if (unknown !== undefined)
      throw invalid(`${where}: unknown action ${JSON.stringify(unknown)}; known are pull, push, delete, *`);
    return {
      users: strings(users, `${where}: users`),
      repositories: strings(repositories, `${where}: repositories`),
      actions: named.includes('*') ? actions : (named as readonly Action[]),
    };
  });
}

function strings(value: unknown, what: string): readonly string[] {
  if (!Array.isArray(value) || value.length === 0 || !value.every((entry) => typeof entry === 'string' && entry !== ''))
    throw invalid(`${what} must be a list of strings`);
  return value as readonly string[];
}

function patternOf(glob: string): RegExp {
  const source = glob
    .split(/(\*\*|\*)/)
    .map((part) => (part === '**' ? '.*' : part === '*' ? '[^/]*' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')));
  return new RegExp(`^${source.join('')}$`);
}

function invalid(why: string): WherryError {
  return new WherryError('invalid', `access rules: ${why}`);
}
