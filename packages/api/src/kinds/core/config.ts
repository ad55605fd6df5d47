import type { V1ConfigMap, V1Secret } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { checkName } from '../shared/checks.ts';
import { ageColumn, nameColumn } from '../shared/columns.ts';
import { sameValue } from '../shared/equality.ts';
import { configKeyProblems } from '../shared/names.ts';

/** Most bytes of all values of one ConfigMap or Secret. */
const sizeLimit = 1024 * 1024;

function base64Size(text: string): number {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  return (text.length / 4) * 3 - padding;
}

function validateConfigMap(map: V1ConfigMap): FieldError[] {
  const errors: FieldError[] = [];
  let total = 0;
  for (const [key, value] of Object.entries(map.data ?? {})) {
    errors.push(...checkName(key, configKeyProblems, `data[${key}]`));
    if (map.binaryData?.[key] !== undefined) {
      errors.push(field.invalid(`data[${key}]`, key, 'duplicate of key present in binaryData'));
    }
    total += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(map.binaryData ?? {})) {
    errors.push(...checkName(key, configKeyProblems, `binaryData[${key}]`));
    total += base64Size(value);
  }
  if (total > sizeLimit) errors.push(field.tooLong('', sizeLimit));
  return errors;
}

const immutableText = 'field is immutable when `immutable` is set';

function validateImmutable<T extends { immutable?: boolean | undefined }>(
  now: T,
  old: T,
  names: readonly (keyof T & string)[],
): FieldError[] {
  if (!old.immutable) return [];
  const errors: FieldError[] = [];
  if (!now.immutable) errors.push(field.forbidden('immutable', immutableText));
  for (const name of names) {
    if (!sameValue(now[name] ?? {}, old[name] ?? {})) errors.push(field.forbidden(name, immutableText));
  }
  return errors;
}

export const configMapBehaviour = behaviourOf<V1ConfigMap>({
  validate: validateConfigMap,
  validateUpdate: (map, old) => validateImmutable(map, old, ['data', 'binaryData']),
  ...printer<V1ConfigMap>([
    nameColumn,
    {
      name: 'Data',
      type: 'integer',
      cell: (map) => Object.keys(map.data ?? {}).length + Object.keys(map.binaryData ?? {}).length,
    },
    ageColumn,
  ]),
});

/** The keys that a typed secret must have. */
const requiredKeys: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

function validateDockerConfig(secret: V1Secret, key: string): FieldError[] {
  try {
    JSON.parse(Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8'));
    return [];
  } catch {
    // The value itself is secret: upstream shows these words instead.
    return [
      field.invalid(`data[${key}]`, '<secret contents redacted>', 'invalid character looking for beginning of value'),
    ];
  }
}

function validateTyped(secret: V1Secret): FieldError[] {
  const data = secret.data ?? {};
  if (secret.type === 'kubernetes.io/service-account-token') {
    const name = secret.metadata?.annotations?.['kubernetes.io/service-account.name'];
    return name ? [] : [field.required('metadata.annotations[kubernetes.io/service-account.name]')];
  }
  if (secret.type === 'kubernetes.io/basic-auth') {
    if (data.username !== undefined || data.password !== undefined) return [];
    return [field.required('data[username]'), field.required('data[password]')];
  }
  const keys = requiredKeys[secret.type ?? ''] ?? [];
  const errors = keys.filter((key) => data[key] === undefined).map((key) => field.required(`data[${key}]`));
  if (errors.length > 0) return errors;
  return secret.type?.startsWith('kubernetes.io/dockerc') ? validateDockerConfig(secret, keys[0]!) : [];
}

function validateSecret(secret: V1Secret): FieldError[] {
  const errors: FieldError[] = [];
  let total = 0;
  for (const [key, value] of Object.entries(secret.data ?? {})) {
    errors.push(...checkName(key, configKeyProblems, `data[${key}]`));
    total += base64Size(value);
  }
  if (total > sizeLimit) errors.push(field.tooLong('data', sizeLimit));
  return [...errors, ...validateTyped(secret)];
}

/** `stringData` is written only: it goes into `data` and never comes back. */
function defaultSecret(secret: V1Secret): void {
  secret.type ||= 'Opaque';
  const { stringData } = secret;
  if (!stringData) return;
  secret.data ??= {};
  for (const [key, value] of Object.entries(stringData)) secret.data[key] = Buffer.from(value).toString('base64');
  delete secret.stringData;
}

export const secretBehaviour = behaviourOf<V1Secret>({
  defaults: defaultSecret,
  prepareForUpdate: (secret, old) => {
    // Older clients leave the type out and mean that it stays.
    if (!secret.type) secret.type = old.type;
  },
  validate: validateSecret,
  validateUpdate: (secret, old) => [
    ...(secret.type === old.type ? [] : [field.invalid('type', secret.type, 'field is immutable')]),
    ...validateImmutable(secret, old, ['data']),
  ],
  selectableFields: (secret) => ({ type: secret.type ?? '' }),
  selectableFieldNames: ['type'],
  ...printer<V1Secret>([
    nameColumn,
    { name: 'Type', cell: (secret) => secret.type ?? '' },
    { name: 'Data', type: 'integer', cell: (secret) => Object.keys(secret.data ?? {}).length },
    ageColumn,
  ]),
});
