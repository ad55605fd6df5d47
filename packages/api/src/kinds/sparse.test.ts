import { describe, expect, it } from 'vitest';
import type { ApiObject } from '../kind.ts';
import { decodeObject } from '../schema/decode.ts';
import { schemaOf, type ValueSchema } from '../schema/schema.ts';
import { builtinKinds } from './index.ts';

const now = Date.parse('2026-11-22T13:00:00Z');
const scalars: Readonly<Record<string, unknown>> = {
  string: 'x',
  boolean: true,
  int32: -1,
  int64: -1,
  double: 0,
  bytes: 'YQ==',
  time: '2026-11-22T13:00:00Z',
  microTime: '2026-11-22T13:00:00.000000Z',
  intOrString: 'x',
  quantity: '1',
  any: {},
};

/** A value of the type with everything filled in down to `depth`, and structs without a field below. */
function filled(type: ValueSchema, depth: number): unknown {
  if (type.kind === 'list') return [filled(type.items, depth)];
  if (type.kind === 'map') return { k: filled(type.values, depth) };
  if (type.kind !== 'object') return scalars[type.kind];
  if (depth === 0) return {};
  const fields = [...(schemaOf(type.name)?.fields.values() ?? [])];
  return Object.fromEntries(fields.map((field) => [field.name, filled(field.type, depth - 1)]));
}

describe('objects that decode but make no sense', () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8])('never throw: filled in to depth %d', (depth) => {
    for (const kind of builtinKinds) {
      const { apiVersion: _a, kind: _k, ...raw } = filled({ kind: 'object', name: kind.schema }, depth) as ApiObject;
      raw.metadata = { name: 'x', namespace: 'ns', uid: 'u' };
      const decoded = decodeObject(kind.schema, raw);
      if (!decoded.ok) throw new Error(`${kind.kind}: ${decoded.message}`);
      const draft = decoded.object as ApiObject;
      const where = `${kind.group}/${kind.version}/${kind.kind}`;
      try {
        kind.defaults?.(draft);
        const old = structuredClone(draft);
        kind.cells?.(draft, now);
        kind.prepareForCreate?.(draft, { now, user: 'u' });
        kind.validate?.(draft);
        kind.prepareForUpdate?.(draft, old, { now, user: 'u' });
        kind.validateUpdate?.(draft, old);
        kind.validateStatusUpdate?.(draft, old);
        kind.prepareForStatusUpdate?.(draft, old, { now, user: 'u' });
        kind.warnings?.(draft, old);
        kind.selectableFields?.(draft);
        kind.gracePeriod?.(draft, undefined);
        kind.cells?.(draft, now);
        if (kind.view) kind.view.fromStored(kind.view.toStored(draft));
      } catch (error) {
        expect.fail(`${where}: ${(error as Error).stack}`);
      }
    }
  });
});
