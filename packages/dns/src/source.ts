import type { Answer } from 'dns-packet';

/** What a source knows about a name and type (RFC 2308): records, none of this type, or no such name. */
export type Resolution =
  | { readonly kind: 'records'; readonly answers: readonly Answer[]; readonly additionals?: readonly Answer[] }
  | { readonly kind: 'noData' }
  | { readonly kind: 'noName' };

/** Something that knows names: a cluster, a user network. */
export interface RecordSource {
  /** Start of authority for negative answers below the zone; without one they are not to be kept. */
  readonly soa?: Answer | undefined;
  /** Whether answers are those of the zone's own server; default true. */
  readonly authoritative?: boolean | undefined;
  /** `name` is in lower case and without the last dot; `undefined` when the name is not this source's to answer. */
  resolve(name: string, type: string): Resolution | undefined;
}

/** The start of authority of a zone that lives in memory: secondaries do not exist, negative answers hold `ttl` seconds. */
export function startOfAuthority(zone: string, ttl: number): Answer {
  return {
    type: 'SOA',
    name: zone,
    ttl,
    data: {
      mname: `ns.dns.${zone}`,
      rname: `hostmaster.${zone}`,
      serial: 1,
      refresh: 7200,
      retry: 1800,
      expire: 86_400,
      minimum: ttl,
    },
  };
}
