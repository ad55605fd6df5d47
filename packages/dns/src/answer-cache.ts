import type { Clock } from '@wherry/base';
import type { Answer } from 'dns-packet';

/** What an upstream server said. */
export interface UpstreamAnswer {
  readonly rcode: string;
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
}

const capacity = 2000;
/** Seconds: changes out there are seen after this at the latest. */
const longestTtl = 30;

/** Remembers upstream answers, and that names do not exist, for as long as they allow; the least recently used go first. */
export class AnswerCache {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { at: number; ttl: number; answer: UpstreamAnswer }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** With times to live reduced by the age. */
  get(key: string): UpstreamAnswer | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    const age = Math.floor((this.#clock.now() - entry.at) / 1000);
    if (age >= entry.ttl) return undefined;
    this.#entries.set(key, entry);
    const aged = (records: readonly Answer[]): Answer[] =>
      records.map(
        (record) => ('ttl' in record ? { ...record, ttl: Math.max((record.ttl ?? 0) - age, 0) } : record) as Answer,
      );
    const { rcode, answers, authorities } = entry.answer;
    return { rcode, answers: aged(answers), authorities: aged(authorities) };
  }

  put(key: string, answer: UpstreamAnswer): void {
    const ttl = Math.min(lifetime(answer), longestTtl);
    if (ttl <= 0) return;
    this.#entries.set(key, { at: this.#clock.now(), ttl, answer });
    if (this.#entries.size > capacity) this.#entries.delete(this.#entries.keys().next().value as string);
  }
}

/** Seconds: the shortest of the records; for negative answers what the start of authority says (RFC 2308), else nothing. */
function lifetime({ rcode, answers, authorities }: UpstreamAnswer): number {
  const ttls = (records: readonly Answer[]): number[] =>
    records.flatMap((record) => ('ttl' in record && record.ttl !== undefined ? [record.ttl] : []));
  if (rcode === 'NOERROR' && answers.length > 0) return Math.min(...ttls(answers));
  if (rcode !== 'NOERROR' && rcode !== 'NXDOMAIN') return 0;
  const soa = authorities.find((record) => record.type === 'SOA');
  return soa?.type === 'SOA' ? Math.min(soa.ttl ?? 0, soa.data.minimum ?? 0) : 0;
}
