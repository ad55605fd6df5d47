import type { V1Endpoint, V1EndpointSlice, V1Service } from '@wherry/api';
import { describe, expect, test } from 'vitest';
import { RuleSet } from './rule-set.ts';
import { planService } from './service-plan.ts';
import { noRules, renderService } from './service-rules.ts';

const service = (spec: Partial<V1Service['spec']> = {}): V1Service => ({
  metadata: { namespace: 'a', name: 'web' },
  spec: { clusterIP: '10.96.0.10', ports: [{ port: 80 }], ...spec },
});
const slice = (endpoints: V1Endpoint[], name = ''): V1EndpointSlice => ({
  addressType: 'IPv4',
  ports: [{ name, port: 8080, protocol: 'TCP' }],
  endpoints,
});
const at = (ip: string, conditions: V1Endpoint['conditions'] = {}, nodeName = 'here'): V1Endpoint => ({
  addresses: [ip],
  conditions: conditions!,
  nodeName,
});
const ipsOf = (slices: V1EndpointSlice[]): string[] | undefined =>
  planService(service(), slices, 'here')[0]?.endpoints.map(({ ip }) => ip);

describe('endpoints', () => {
  test('are those that are ready, in order, each once', () => {
    const two = slice([at('10.0.0.2'), at('10.0.0.1'), at('10.0.0.3', { ready: false })]);
    expect(ipsOf([two, slice([at('10.0.0.1', { ready: false }), at('10.0.0.2')])])).toEqual(['10.0.0.1', '10.0.0.2']);
  });

  test('are those that serve while terminating when none is ready', () => {
    const ending = at('10.0.0.1', { ready: false, serving: true, terminating: true });
    const broken = at('10.0.0.2', { ready: false, serving: false, terminating: true });
    expect(ipsOf([slice([ending, broken])])).toEqual(['10.0.0.1']);
    expect(ipsOf([slice([ending, at('10.0.0.3')])])).toEqual(['10.0.0.3']);
  });

  test('come from the slice port of the same name and protocol', () => {
    expect(ipsOf([slice([at('10.0.0.1')], 'other')])).toEqual([]);
    expect(ipsOf([{ ...slice([at('10.0.0.1')]), ports: [{ name: '', port: 53, protocol: 'UDP' }] }])).toEqual([]);
  });

  test('with hostile addresses or ports are left out', () => {
    expect(ipsOf([slice([at('10.0.0.1; flush ruleset'), at('::1')])])).toEqual([]);
    expect(planService(service({ ports: [{ port: 0 }, { port: 1.5 }, { port: 99_999 }] }), [], 'here')).toEqual([]);
  });
});

test.each([
  ['headless', { clusterIP: 'None' }],
  ['an external name', { type: 'ExternalName', externalName: 'x' }],
])('%s has no rules', (_what, spec) => {
  expect(planService(service(spec), [], 'here')).toEqual([]);
});

describe('the rule set', () => {
  const rulesOf = (ips: string[], spec?: Partial<V1Service['spec']>) =>
    renderService(planService(service(spec), [slice(ips.map((ip) => at(ip)))], 'here'), '10.0.0.0/8');

  test('says nothing when nothing changes', () => {
    const rules = new RuleSet('t');
    expect(rules.update(new Map([['a/web', rulesOf(['10.0.0.1'])]]))).toContain('dnat to 10.0.0.1:8080');
    expect(rules.update(new Map([['a/web', rulesOf(['10.0.0.1'])]]))).toBe('');
  });

  test('touches only what an endpoint changes', () => {
    const rules = new RuleSet('t');
    rules.update(new Map([['a/web', rulesOf(['10.0.0.1'])]]));
    const commands = rules.update(new Map([['a/web', rulesOf(['10.0.0.1', '10.0.0.2'])]]));
    expect(commands).toContain('add element ip t hairpin { 10.0.0.2 . 10.0.0.2 }');
    expect(commands).not.toContain('service-ips');
  });

  test('keeps what another service still needs', () => {
    const rules = new RuleSet('t');
    const other = rulesOf(['10.0.0.1'], { clusterIP: '10.96.0.11' });
    rules.update(new Map([['a/web', rulesOf(['10.0.0.1'])]]));
    rules.update(new Map([['a/other', other]]));
    expect(rules.update(new Map([['a/web', noRules]]))).not.toContain('hairpin');
    expect(rules.update(new Map([['a/other', noRules]]))).toContain('delete element ip t hairpin');
  });
});
