import { type Element, noRules, type ServiceRules } from './service-rules.ts';

/**
 * What the table holds for every service, and the commands from there to what it should hold.
 * Elements that several services need (an endpoint's address) are counted. An address and port that
 * two services claim goes to the one that came first; the other gets it when it becomes free.
 */
export class RuleSet {
  readonly #table: string;
  readonly #services = new Map<string, ServiceRules>();
  readonly #shared = new Map<string, number>();
  readonly #owners = new Map<string, string>();
  readonly #waiting = new Set<string>();

  constructor(table: string) {
    this.#table = table;
  }

  /** Names of the services that have rules. */
  get services(): IterableIterator<string> {
    return this.#services.keys();
  }

  /** Services that did not get an address and port that they claim. */
  get contested(): ReadonlySet<string> {
    return this.#waiting;
  }

  /**
   * Takes over what services should have and gives the commands, for one transaction after which
   * the table holds it; empty when nothing changes. Should the transaction fail, the set is no
   * longer true: start anew.
   */
  update(changes: ReadonlyMap<string, ServiceRules>): string {
    const commands = { sets: '', chains: '', removedElements: '', rules: '', elements: '', removed: '' };
    const removed = [...changes].map(([service]) => this.#services.get(service) ?? noRules);
    let freed = false;
    for (const [i, [service, next]] of [...changes].entries()) {
      this.#changeChains(removed[i] ?? noRules, next, commands);
      const gone = this.#release(service, removed[i] ?? noRules, next);
      freed ||= gone.length > 0;
      for (const element of gone)
        commands.removedElements += `delete element ip ${this.#table} ${element.set} { ${text(element)} }\n`;
    }
    for (const [service, next] of changes) {
      for (const element of this.#claim(service, next)) {
        commands.elements += `add element ip ${this.#table} ${element.set} { ${text(element)} }\n`;
      }
    }
    if (freed) this.#wake(changes);
    return Object.values(commands).join('');
  }

  /** Services that may now get what they waited for; the caller updates them again. */
  takeWoken(): string[] {
    const woken = [...this.#woken];
    this.#woken.clear();
    return woken;
  }
  readonly #woken = new Set<string>();

  #wake(changes: ReadonlyMap<string, ServiceRules>): void {
    for (const service of this.#waiting) if (!changes.has(service)) this.#woken.add(service);
  }

  #changeChains(
    before: ServiceRules,
    next: ServiceRules,
    commands: Record<'sets' | 'chains' | 'rules' | 'removed', string>,
  ): void {
    const at = `ip ${this.#table}`;
    for (const [name, definition] of next.sets) {
      if (!before.sets.has(name)) commands.sets += `add set ${at} ${name} { ${definition} }\n`;
    }
    for (const [name, rules] of next.chains) {
      const old = before.chains.get(name);
      if (old?.join('\n') === rules.join('\n')) continue;
      commands.chains += old === undefined ? `add chain ${at} ${name}\n` : `flush chain ${at} ${name}\n`;
      for (const rule of rules) commands.rules += `add rule ${at} ${name} ${rule}\n`;
    }
    const gone = [...before.chains.keys()].filter((name) => !next.chains.has(name));
    // All are emptied before any is deleted: they refer to each other.
    for (const name of gone) commands.removed += `flush chain ${at} ${name}\n`;
    for (const name of gone) commands.removed += `delete chain ${at} ${name}\n`;
    for (const name of before.sets.keys()) if (!next.sets.has(name)) commands.removed += `delete set ${at} ${name}\n`;
  }

  /** Gives up what the service held and does not need any more in this form. */
  #release(service: string, before: ServiceRules, next: ServiceRules): Element[] {
    const kept = new Set(next.elements.map(identity));
    const gone: Element[] = [];
    for (const element of distinct(before.elements)) {
      if (kept.has(identity(element))) continue;
      if (element.value === undefined) {
        const left = (this.#shared.get(identity(element)) ?? 1) - 1;
        if (left > 0) this.#shared.set(identity(element), left);
        else {
          this.#shared.delete(identity(element));
          gone.push(element);
        }
      } else if (this.#owners.get(place(element)) === service) {
        this.#owners.delete(place(element));
        gone.push(element);
      }
    }
    return gone;
  }

  /** Takes what the service newly needs. */
  #claim(service: string, next: ServiceRules): Element[] {
    const before = new Set((this.#services.get(service) ?? noRules).elements.map(identity));
    const fresh: Element[] = [];
    this.#waiting.delete(service);
    for (const element of distinct(next.elements)) {
      if (element.value === undefined) {
        if (before.has(identity(element))) continue;
        const users = this.#shared.get(identity(element)) ?? 0;
        this.#shared.set(identity(element), users + 1);
        if (users === 0) fresh.push(element);
        continue;
      }
      const owner = this.#owners.get(place(element));
      if (owner === undefined) {
        this.#owners.set(place(element), service);
        fresh.push(element);
      } else if (owner !== service) {
        this.#waiting.add(service);
      }
    }
    if (next.chains.size === 0 && next.elements.length === 0) this.#services.delete(service);
    else this.#services.set(service, next);
    return fresh;
  }
}

function distinct(elements: readonly Element[]): Element[] {
  return [...new Map(elements.map((element) => [identity(element), element])).values()];
}

const place = ({ set, key }: Element): string => `${set} ${key}`;
const identity = (element: Element): string => `${place(element)} ${element.value ?? ''}`;
const text = ({ key, value }: Element): string => (value === undefined ? key : `${key} : ${value}`);
