// Writes generated/schemas.ts (names, field types and required fields: what decoding needs) and
// generated/documentation.ts (descriptions, compressed: what OpenAPI documents need), from the
// pinned @kubernetes/client-node (structure) and cdk8s-plus-34 (full names, quantities, paragraphs).
//
// A line of the schema text is `Name|definition|field:type field:type!`; `!` is required. Types:
// s string, b boolean, i int32, l int64, d double, n number, B bytes in base64, T time, M micro time,
// I int or string, Q quantity, * anything, []X list of X, {}X map of X, otherwise a type's name.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

const require = createRequire(import.meta.url);
const models = join(dirname(require.resolve('@kubernetes/client-node')), 'gen', 'models');
const constructs = join(dirname(require.resolve('cdk8s-plus-34')), 'imports', 'k8s.d.ts');
const classes = await import(join(models, 'all.js'));

/** Definition and field facts of the constructs' declarations: `{ text, type }` by `definition#field`. */
function readConstructs() {
  const types = new Map();
  const fields = new Map();
  let comment = [];
  let wanted;
  for (const line of readFileSync(constructs, 'utf8').split('\n')) {
    const body = line.trim();
    if (body === '/**') comment = [];
    else if (body === '*/') {
      const at = comment.findLastIndex((l) => l.startsWith('@schema '));
      wanted = at < 0 ? undefined : comment[at].slice(8).trim();
      if (wanted && !wanted.includes('#') && !types.has(wanted)) types.set(wanted, paragraphs(comment));
    } else if (body.startsWith('*')) comment.push(body.slice(1).replace(/^ /, ''));
    else if (wanted?.includes('#') && body.startsWith('readonly ')) {
      fields.set(wanted, { text: paragraphs(comment), type: body });
    } else if (wanted?.includes('#') && body.startsWith('[key: string]')) {
      fields.get(wanted).type += body;
    }
  }
  return { types, fields };
}

/** The text of a doc comment before its tags; a blank line within a list is the tool's, not the text's. */
function paragraphs(lines) {
  const tag = lines.findIndex((l) => l.startsWith('@'));
  return (tag < 0 ? lines : lines.slice(0, tag)).join('\n').trim();
}

const known = readConstructs();
const grouped = {
  Core: 'io.k8s.api.core',
  Events: 'io.k8s.api.events',
  Authentication: 'io.k8s.api.authentication',
  Storage: 'io.k8s.api.storage',
  Discovery: 'io.k8s.api.discovery',
  Flowcontrol: 'io.k8s.api.flowcontrol',
  Rbac: 'io.k8s.api.rbac',
  Resource: 'io.k8s.api.resource',
  Admissionregistration: 'io.k8s.api.admissionregistration',
  Apiextensions: 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions',
  Apiregistration: 'io.k8s.kube-aggregator.pkg.apis.apiregistration',
};
const meta = 'io.k8s.apimachinery.pkg.apis.meta';
const metaOnly = new Set([
  'APIGroup',
  'APIGroupList',
  'APIResource',
  'APIResourceList',
  'APIVersions',
  'Condition',
  'GroupVersionForDiscovery',
  'ServerAddressByClientCIDR',
  'WatchEvent',
]);

/** Full names that follow from the client's name alone. */
function directDefinition(name) {
  if (name === 'VersionInfo') return 'io.k8s.apimachinery.pkg.version.Info';
  const [, prefix, version, kind] = /^([A-Z][a-z]+)?V(\d+)(.+)$/.exec(name);
  if (prefix) return `${grouped[prefix]}.v${version}.${kind}`;
  if (metaOnly.has(kind)) return `${meta}.v${version}.${kind}`;
  if (kind.startsWith('MutatingAdmissionPolicy')) return `${grouped.Admissionregistration}.v${version}.${kind}`;
  const found = [...known.types.keys()].filter((d) => d.endsWith(`.v${version}.${kind}`));
  return found.length === 1 ? found[0] : undefined;
}

const scalars = { boolean: 'b', Date: 'T', any: '*', object: '*', IntOrString: 'I', V1MicroTime: 'M' };
const formats = { byte: 'B', int32: 'i', int64: 'l', double: 'd', 'date-time': 'T', 'date-time-micro': 'M' };
/** Quantities in status types, which the constructs do not have. */
const quantities = new Set([
  'V1NodeStatus.capacity',
  'V1NodeStatus.allocatable',
  'V1ResourceQuotaStatus.hard',
  'V1ResourceQuotaStatus.used',
  'V1PersistentVolumeClaimStatus.capacity',
  'V1PersistentVolumeClaimStatus.allocatedResources',
  'V1ContainerStatus.allocatedResources',
  'V1PodStatus.allocatedResources',
  'V2MetricValueStatus.averageValue',
  'V2MetricValueStatus.value',
  'V1DeviceRequestAllocationResult.consumedCapacity',
]);

function typeCode(expression, format, quantity) {
  const array = /^Array<(.+)>$/.exec(expression);
  if (array) return `[]${typeCode(array[1], format, quantity)}`;
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(expression);
  if (map) return `{}${typeCode(map[1], format, quantity)}`;
  if (quantity) return 'Q';
  if (scalars[expression]) return scalars[expression];
  if (expression === 'string') return formats[format] ?? 's';
  if (expression === 'number') return formats[format] ?? 'n';
  if (!classes[expression]) throw new Error(`unknown type ${expression}`);
  return expression;
}

const declared = new Map();
for (const [name, type] of Object.entries(classes)) {
  if (!type?.attributeTypeMap || scalars[name] || /V\d+(alpha|beta)/.test(name)) continue;
  const text = readFileSync(join(models, `${name}.d.ts`), 'utf8');
  declared.set(name, { name, attributes: type.attributeTypeMap, text, definition: directDefinition(name) });
}

const referred = (expression) => expression.match(/[A-Z][A-Za-z0-9]*V?\d[A-Za-z0-9]+|V\d[A-Za-z0-9]+/g) ?? [];
// A type without a name of its own belongs to the package of what refers to it.
for (let changed = true; changed; ) {
  changed = false;
  for (const { attributes, definition } of declared.values()) {
    if (!definition) continue;
    for (const attribute of attributes) {
      for (const name of referred(attribute.type)) {
        const target = declared.get(name);
        if (!target || target.definition) continue;
        target.definition = definition.replace(/\.v\d+\.[A-Za-z]+$/, `.${name.replace(/^V(\d+)/, 'v$1.')}`);
        changed = true;
      }
    }
  }
}

const unquoted = (text) => text.replace(/\\(['"\\])/g, '$1');
/** Descriptions of the client's declaration file: the class and its properties. */
function clientDescriptions(text) {
  const fields = {};
  for (const m of text.matchAll(/\/\*\*\n {4}\* (.*)\n {4}\*\/\n {4}'([^']+)'/g)) fields[m[2]] = unquoted(m[1]);
  const type = /\/\*\*\n\* (.*)\n\*\/\nexport/.exec(text);
  return { type: type ? unquoted(type[1]) : '', fields };
}

const lines = [];
const documentation = {};
for (const entry of [...declared.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
  const { name, attributes, text } = entry;
  const definition = entry.definition ?? `io.k8s.unknown.${name}`;
  const required = new Set([...text.matchAll(/^ {4}'([^']+)': /gm)].map((m) => m[1]));
  const client = clientDescriptions(text);
  const docs = {};
  const fields = attributes.map((attribute) => {
    const fact = known.fields.get(`${definition}#${attribute.baseName}`);
    const quantity = quantities.has(`${name}.${attribute.baseName}`) || /\bQuantity\b/.test(fact?.type ?? '');
    docs[attribute.baseName] = fact?.text || client.fields[attribute.name] || '';
    const must = required.has(attribute.name) ? '!' : '';
    return `${attribute.baseName}:${typeCode(attribute.type, attribute.format, quantity)}${must}`;
  });
  lines.push(`${name}|${definition}|${fields.join(' ')}`);
  documentation[name] = [known.types.get(definition) || client.type, docs];
}

const target = new URL('../generated/', import.meta.url).pathname;
mkdirSync(target, { recursive: true });
const header = '// Generated by tools/generate-schemas.mjs from the pinned dependencies. Do not edit.\n';
writeFileSync(join(target, 'schemas.ts'), `${header}export const schemaText = ${JSON.stringify(lines.join('\n'))};\n`);
const packed = gzipSync(JSON.stringify(documentation), { level: 9 }).toString('base64');
writeFileSync(
  join(target, 'documentation.ts'),
  `${header}export const packedDocumentation = ${JSON.stringify(packed)};\n`,
);
