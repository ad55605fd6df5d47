import { describe, expect, it } from 'vitest';
import type { ApiObject } from '../kind.ts';
import { differenceSet, fromFieldsV1, setPaths, toFieldsV1, unionSet } from './field-set.ts';
import { applyConfiguration, applyConflictError, type FieldManager, updateManagedFields } from './managed-fields.ts';

const t1 = '2026-11-22T10:00:00Z';
const t2 = '2026-11-22T11:00:00Z';
const updater = (name: string, subresource = ''): FieldManager => ({
  name,
  operation: 'Update',
  apiVersion: 'apps/v1',
  subresource,
});
const applier = (name: string): FieldManager => ({ name, operation: 'Apply', apiVersion: 'apps/v1', subresource: '' });

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(frozen);
  return Object.freeze(value);
}

function owned(object: ApiObject, name: string): string[] {
  const entries = (object.metadata?.managedFields ?? []).filter((e) => e.manager === name);
  return entries.flatMap((e) => setPaths(fromFieldsV1(e.fieldsV1))).sort();
}

function apply(live: ApiObject | undefined, config: ApiObject, name: string, force = false): ApiObject {
  const result = applyConfiguration(live && frozen(live), frozen(config), 'V1Deployment', applier(name), {
    force,
    time: t1,
  });
  if (!result.ok) throw applyConflictError(result.conflicts);
  return result.object;
}

const deployment = (spec: Record<string, unknown>, labels?: Record<string, string>): ApiObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'a', ...(labels ? { labels } : {}) },
  spec,
});
const template = (containers: unknown[]) => ({ template: { spec: { containers } } });

describe('plain writes', () => {
  it('own what they set, in the form that upstream writes', () => {
    const created = updateManagedFields(
      undefined,
      deployment(
        {
          replicas: 1,
          selector: { matchLabels: { app: 'web' } },
          strategy: { type: 'Recreate' },
          ...template([{ name: 'c', image: 'x', resources: {}, ports: [{ containerPort: 80, protocol: 'TCP' }] }]),
        },
        { app: 'web' },
      ),
      'V1Deployment',
      updater('kubectl-create'),
      t1,
    );
    expect(created.metadata?.managedFields).toEqual([
      {
        manager: 'kubectl-create',
        operation: 'Update',
        apiVersion: 'apps/v1',
        time: t1,
        fieldsType: 'FieldsV1',
        fieldsV1: {
          'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
          'f:spec': {
            'f:replicas': {},
            'f:selector': {},
            'f:strategy': { 'f:type': {} },
            'f:template': {
              'f:spec': {
                'f:containers': {
                  'k:{"name":"c"}': {
                    '.': {},
                    'f:image': {},
                    'f:name': {},
                    'f:ports': {
                      '.': {},
                      'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {}, 'f:protocol': {} },
                    },
                    'f:resources': {},
                  },
                },
              },
            },
          },
        },
      },
    ]);
  });

  it('take fields over, lose what is gone, and leave equal objects alone', () => {
    const first = updateManagedFields(
      undefined,
      deployment({ replicas: 1, paused: true }),
      'V1Deployment',
      updater('one'),
      t1,
    );
    const second = updateManagedFields(first, deployment({ replicas: 2 }), 'V1Deployment', updater('two', 'scale'), t2);
    expect(owned(second, 'one')).toEqual([]);
    expect(second.metadata?.managedFields).toMatchObject([{ manager: 'two', subresource: 'scale', time: t2 }]);
    expect(owned(second, 'two')).toEqual(['.spec.replicas']);
    const third = updateManagedFields(second, { ...second }, 'V1Deployment', updater('three'), t2);
    expect(third.metadata?.managedFields).toEqual(second.metadata?.managedFields);
  });

  it('keep the number of entries bounded', () => {
    let object: ApiObject = deployment({});
    for (let i = 0; i < 30; i++) {
      const labels = { ...object.metadata?.labels, [`l${i}`]: 'x' };
      const next = { ...object, metadata: { ...object.metadata, labels } };
      object = updateManagedFields(
        object,
        next,
        'V1Deployment',
        updater(`m${i}`),
        `2026-11-22T10:00:${String(10 + i)}Z`,
      );
    }
    expect(object.metadata?.managedFields).toHaveLength(10);
    expect(owned(object, 'ancient-changes')).toContain('.metadata.labels.l0');
    expect(owned(object, 'm29')).toEqual(['.metadata.labels.l29']);
  });
});

describe('server-side apply', () => {
  it('creates, and owns leaves and items but not containers', () => {
    const object = apply(
      undefined,
      deployment(template([{ name: 'c', ports: [{ containerPort: 80 }] }]), { app: 'x' }),
      'a',
    );
    expect(object.metadata?.managedFields?.[0]).toMatchObject({
      operation: 'Apply',
      fieldsV1: {
        'f:metadata': { 'f:labels': { 'f:app': {} } },
        'f:spec': {
          'f:template': {
            'f:spec': {
              'f:containers': {
                'k:{"name":"c"}': {
                  '.': {},
                  'f:name': {},
                  'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } },
                },
              },
            },
          },
        },
      },
    });
  });

  it('is refused where another manager set another value, and forced when asked', () => {
    const live = updateManagedFields(
      undefined,
      deployment({ replicas: 1, paused: true }),
      'V1Deployment',
      updater('kubectl'),
      t1,
    );
    expect(() => apply(live, deployment({ replicas: 3 }), 'a')).toThrow(
      'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas',
    );
    expect(() => apply(live, deployment({ replicas: 3, paused: false }), 'a')).toThrow(
      'Apply failed with 2 conflicts: conflicts with "kubectl" using apps/v1:\n- .spec.paused\n- .spec.replicas',
    );
    const forced = apply(live, deployment({ replicas: 3 }), 'a', true);
    expect(forced.spec).toEqual({ replicas: 3, paused: true });
    expect(owned(forced, 'a')).toEqual(['.spec.replicas']);
    expect(owned(forced, 'kubectl')).toEqual(['.spec.paused']);
  });

  it('shares what is equal, and keeps it while one owner is left', () => {
    const one = apply(undefined, deployment({ replicas: 2 }, { a: '1', b: '2' }), 'one');
    const two = apply(one, deployment({ replicas: 2 }, { c: '3' }), 'two');
    expect(owned(two, 'two')).toContain('.spec.replicas');
    const left = apply(two, deployment({}, { a: '1' }), 'one');
    expect(left.spec).toEqual({ replicas: 2 });
    expect(left.metadata?.labels).toEqual({ a: '1', c: '3' });
  });

  it('removes what is no longer applied, with what grew below it', () => {
    const probe = { httpGet: { port: 80 } };
    const one = apply(undefined, deployment(template([{ name: 'c', livenessProbe: probe }, { name: 'd' }])), 'one');
    const defaulted = JSON.parse(JSON.stringify(one)) as ApiObject;
    const container = (defaulted.spec as ReturnType<typeof template>).template.spec.containers[0] as {
      livenessProbe: Record<string, unknown>;
    };
    container.livenessProbe.periodSeconds = 10;
    const left = apply(defaulted, deployment(template([{ name: 'c' }])), 'one');
    expect(left.spec).toEqual(template([{ name: 'c' }]));
  });

  it('merges lists by key, keeps foreign and doubled items, and follows the order applied', () => {
    const live = deployment(
      template([
        {
          name: 'c',
          env: [
            { name: 'A', value: '1' },
            { name: 'A', value: '2' },
            { name: 'B', value: '3' },
          ],
        },
      ]),
    );
    const object = apply(
      live,
      deployment(template([{ name: 'new' }, { name: 'c', env: [{ name: 'C', value: '4' }] }])),
      'a',
    );
    expect(object.spec).toEqual(
      template([
        { name: 'new' },
        {
          name: 'c',
          env: [
            { name: 'C', value: '4' },
            { name: 'A', value: '1' },
            { name: 'A', value: '2' },
            { name: 'B', value: '3' },
          ],
        },
      ]),
    );
  });

  it('replaces atomic maps as a whole', () => {
    const live = deployment({ selector: { matchLabels: { old: 'x' } } });
    const object = apply(live, deployment({ selector: { matchLabels: { app: 'web' } } }), 'a');
    expect(object.spec).toEqual({ selector: { matchLabels: { app: 'web' } } });
    expect(owned(object, 'a')).toEqual(['.spec.selector']);
  });

  it('changes nothing when applied again', () => {
    const config = deployment({ replicas: 2, ...template([{ name: 'c', image: 'x' }]) }, { a: '1' });
    const once = apply(undefined, config, 'a');
    const again = applyConfiguration(frozen(once), config, 'V1Deployment', applier('a'), { force: false, time: t2 });
    expect(again).toEqual({ ok: true, object: once });
  });

  it('treats objects without a schema as plain JSON', () => {
    const config = { metadata: { name: 'w' }, spec: { list: [{ a: 1 }], map: { x: 1 } } };
    const result = applyConfiguration(undefined, config, 'ExampleV1Widget', applier('a'), { force: false, time: t1 });
    expect(result.ok && owned(result.object, 'a')).toEqual(['.spec.list', '.spec.map.x']);
  });
});

describe('field sets', () => {
  it('read back what they write', () => {
    const json = {
      'f:metadata': { 'f:finalizers': { '.': {}, 'v:"a"': {} } },
      'f:spec': { 'f:x': {}, 'k:{"a":1,"b":"c"}': { '.': {}, 'f:y': {} }, 'i:0': {} },
    };
    const set = fromFieldsV1(json);
    expect(toFieldsV1(set)).toEqual(json);
    expect(setPaths(set)).toEqual([
      '.metadata.finalizers',
      '.metadata.finalizers[="a"]',
      '.spec.x',
      '.spec[a=1,b="c"]',
      '.spec[a=1,b="c"].y',
      '.spec[0]',
    ]);
    expect(toFieldsV1(differenceSet(unionSet(set, fromFieldsV1({ 'f:new': {} })), set))).toEqual({ 'f:new': {} });
  });

  it('ignore what is malformed', () => {
    expect(toFieldsV1(fromFieldsV1({ x: {}, 'f:a': 3, 'f:b': { '.': {} } }))).toEqual({ 'f:b': {} });
  });
});
