import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { KindDeclaration } from '../kind.ts';
import { createOpenApiDocuments } from './documents.ts';

const deployment: KindDeclaration = {
  group: 'apps',
  version: 'v1',
  kind: 'Deployment',
  resource: 'deployments',
  singular: 'deployment',
  namespaced: true,
  schema: 'V1Deployment',
  subresources: { status: true },
};

interface Schema {
  readonly properties?: Record<string, Record<string, unknown>>;
  readonly required?: string[];
  readonly description?: string;
}

interface Document {
  readonly paths: Record<string, Record<string, Record<string, unknown>>>;
  readonly components: { readonly schemas: Record<string, Schema> };
  readonly definitions: Record<string, Schema>;
}

const documents = createOpenApiDocuments([deployment], 'v1.36.0');
const read = (packed: Buffer): Document => JSON.parse(gunzipSync(packed).toString()) as Document;

/** Every reference in a document. */
function* references(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, item] of Object.entries(value)) {
    if (key === '$ref' && typeof item === 'string') yield item;
    else yield* references(item);
  }
}

describe('OpenAPI v3', () => {
  it('has an index with hashes that change with the kinds', () => {
    const { paths } = documents.index();
    expect(Object.keys(paths)).toEqual(['apis/apps/v1']);
    const url = paths['apis/apps/v1']!.serverRelativeURL;
    expect(url).toMatch(/^\/openapi\/v3\/apis\/apps\/v1\?hash=[0-9A-F]{64}$/);
    const other = createOpenApiDocuments([{ ...deployment, shortNames: ['deploy'] }], 'v1.36.0').index();
    expect(other.paths['apis/apps/v1']!.serverRelativeURL).not.toBe(url);
  });

  it('describes what kubectl explains, validates and merges by', async () => {
    const document = read((await documents.v3('apis/apps/v1'))!.gzip);
    const { schemas } = document.components;
    expect(schemas['io.k8s.api.apps.v1.Deployment']).toMatchObject({
      'x-kubernetes-group-version-kind': [{ group: 'apps', version: 'v1', kind: 'Deployment' }],
    });
    const podSpec = schemas['io.k8s.api.core.v1.PodSpec']!;
    expect(podSpec.required).toEqual(['containers']);
    expect(podSpec.properties!.containers).toMatchObject({
      type: 'array',
      'x-kubernetes-list-map-keys': ['name'],
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-patch-merge-key': 'name',
      'x-kubernetes-patch-strategy': 'merge',
    });
    expect(podSpec.properties!.restartPolicy).toMatchObject({ type: 'string', enum: ['Always', 'Never', 'OnFailure'] });
    expect(podSpec.properties!.restartPolicy!.description).toMatch(
      /^Restart policy for all[\s\S]*`"Always"`\n - `"Never"`/,
    );
    const patch = document.paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}']!.patch!;
    expect(patch['x-kubernetes-group-version-kind']).toEqual({ group: 'apps', version: 'v1', kind: 'Deployment' });
    expect((patch.parameters as { name: string }[]).map((p) => p.name)).toContain('fieldValidation');
    expect(document.paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status']).toHaveProperty('patch');
  });

  it('refers only to what it has, in both versions', async () => {
    const v3 = read((await documents.v3('apis/apps/v1'))!.gzip);
    const v2 = read((await documents.v2()).gzip);
    for (const ref of references(v3))
      expect(v3.components.schemas).toHaveProperty([ref.replace('#/components/schemas/', '')]);
    for (const ref of references(v2)) expect(v2.definitions).toHaveProperty([ref.replace('#/definitions/', '')]);
    expect([...references(v2)].length).toBeGreaterThan(100);
  });

  it('is built once, and not for unknown paths', async () => {
    expect(await documents.v3('apis/apps/v1')).toBe(await documents.v3('apis/apps/v1'));
    expect(await documents.v3('apis/none/v1')).toBe(undefined);
  });
});

describe('OpenAPI v2 as protobuf', () => {
  /** The length-delimited fields of a message by number. */
  const fieldsOf = (message: Buffer): Map<number, Buffer[]> => {
    const fields = new Map<number, Buffer[]>();
    let at = 0;
    const varint = (): number => {
      let value = 0;
      for (let shift = 1; ; shift *= 128) {
        const byte = message[at++]!;
        value += (byte & 0x7f) * shift;
        if (byte < 0x80) return value;
      }
    };
    while (at < message.length) {
      const tag = varint();
      const size = varint();
      if (tag % 8 === 0) continue;
      fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), message.subarray(at, at + size)]);
      at += size;
    }
    return fields;
  };
  const only = (message: Buffer, ...path: number[]): Buffer =>
    path.reduce((current, number) => fieldsOf(current).get(number)![0]!, message);
  const namedItem = (items: Buffer[], name: string): Buffer =>
    only(items.find((item) => only(item, 1).toString() === name)!, 2);

  it('says the same as the JSON: paths with parameters and kinds, definitions with types', async () => {
    const document = await documents.v2('protobuf');
    expect(document.contentType).toBe('application/com.github.proto-openapi.spec.v2.v1.0+protobuf');
    const message = gunzipSync(document.gzip);
    expect(only(message, 1).toString()).toBe('2.0');
    const paths = fieldsOf(only(message, 8)).get(2)!;
    const patch = only(namedItem(paths, '/apis/apps/v1/namespaces/{namespace}/deployments/{name}'), 8);
    const names = fieldsOf(patch)
      .get(8)!
      .map((item) => only(item, 1, 2, 3, 4).toString());
    expect(names).toEqual(['dryRun', 'fieldManager', 'fieldValidation', 'force']);
    const kind = namedItem(fieldsOf(patch).get(13)!, 'x-kubernetes-group-version-kind');
    expect(JSON.parse(only(kind, 2).toString())).toEqual({ group: 'apps', version: 'v1', kind: 'Deployment' });
    const definitions = fieldsOf(only(message, 9)).get(1)!;
    const json = read((await documents.v2()).gzip);
    expect(definitions).toHaveLength(Object.keys(json.definitions).length);
    const spec = namedItem(definitions, 'io.k8s.api.apps.v1.DeploymentSpec');
    const properties = fieldsOf(only(spec, 25)).get(1)!;
    expect(properties.map((item) => only(item, 1).toString())).toEqual(
      Object.keys(json.definitions['io.k8s.api.apps.v1.DeploymentSpec']!.properties!),
    );
    expect(only(namedItem(properties, 'replicas'), 22, 1).toString()).toBe('integer');
  });
});
