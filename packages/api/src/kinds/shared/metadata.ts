import type { V1ObjectMeta, V1OwnerReference } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { dnsLabelProblems, labelValueProblems, qualifiedNameProblems, validateSubdomainName } from './names.ts';

/** Most bytes that the keys and values of all annotations may have together. */
const annotationLimit = 256 * 1024;
const standardFinalizers = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);

/** Labels at `path`: keys are qualified names, values short. */
export function validateLabels(labels: Readonly<Record<string, string>> | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    for (const problem of qualifiedNameProblems(key)) errors.push(field.invalid(path, key, problem));
    for (const problem of labelValueProblems(value)) errors.push(field.invalid(path, value, problem));
  }
  return errors;
}

/** Annotations at `path`: keys are qualified names, 256 KiB in all. */
export function validateAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    for (const problem of qualifiedNameProblems(key.toLowerCase())) errors.push(field.invalid(path, key, problem));
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > annotationLimit) errors.push(field.tooLong(path, annotationLimit));
  return errors;
}

function validateOwnerReferences(references: readonly V1OwnerReference[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const controllers: string[] = [];
  references.forEach((reference, index) => {
    const at = `${path}[${index}]`;
    if (!reference.apiVersion) errors.push(field.invalid(`${at}.apiVersion`, '', 'version must not be empty'));
    if (!reference.kind) errors.push(field.invalid(`${at}.kind`, '', 'must not be empty'));
    if (!reference.name) errors.push(field.invalid(`${at}.name`, '', 'must not be empty'));
    if (!reference.uid) errors.push(field.invalid(`${at}.uid`, '', 'must not be empty'));
    if (reference.kind === 'Event' && /^(v1|events\.k8s\.io\/)/.test(reference.apiVersion)) {
      errors.push(
        field.invalid(at, reference, `${reference.apiVersion}, Kind=Event is disallowed from being an owner`),
      );
    }
    if (reference.controller) controllers.push(reference.name);
  });
  if (controllers.length > 1) {
    errors.push(
      field.invalid(
        path,
        references,
        `Only one reference can have Controller set to true. Found "true" in references for ${controllers[0]} and ${controllers[1]}`,
      ),
    );
  }
  return errors;
}

/** Finalizers at `path`: qualified names, and with a domain unless they are the system's own. */
export function validateFinalizers(finalizers: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of finalizers) {
    for (const problem of qualifiedNameProblems(name)) errors.push(field.invalid(path, name, problem));
  }
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) {
    errors.push(field.invalid(path, finalizers, 'finalizer orphan and foregroundDeletion cannot be both set'));
  }
  finalizers.forEach((name, index) => {
    if (!name.includes('/') && !standardFinalizers.has(name)) {
      errors.push(
        field.invalid(`${path}[${index}]`, name, 'name is neither a standard finalizer name nor is it fully qualified'),
      );
    }
  });
  return errors;
}

/** What `validateObjectMeta` must know of the kind. */
export interface ObjectMetaRules {
  readonly namespaced: boolean;
  /** Default: DNS subdomain. */
  readonly validateName?: ((name: string, prefix: boolean) => readonly string[]) | undefined;
  /** Default `metadata`. */
  readonly path?: string | undefined;
}

/** Checks a whole `metadata` before a create or an update, in upstream's order. */
export function validateObjectMeta(metadata: V1ObjectMeta, rules: ObjectMetaRules): FieldError[] {
  const path = rules.path ?? 'metadata';
  const nameRule = rules.validateName ?? validateSubdomainName;
  const errors: FieldError[] = [];
  if (metadata.generateName) {
    for (const p of nameRule(metadata.generateName, true)) {
      errors.push(field.invalid(`${path}.generateName`, metadata.generateName, p));
    }
  }
  if (!metadata.name) errors.push(field.required(`${path}.name`, 'name or generateName is required'));
  else for (const p of nameRule(metadata.name, false)) errors.push(field.invalid(`${path}.name`, metadata.name, p));
  if (rules.namespaced) {
    if (!metadata.namespace) errors.push(field.required(`${path}.namespace`));
    else
      for (const p of dnsLabelProblems(metadata.namespace)) {
        errors.push(field.invalid(`${path}.namespace`, metadata.namespace, p));
      }
  } else if (metadata.namespace) {
    errors.push(field.forbidden(`${path}.namespace`, 'not allowed on this type'));
  }
  if ((metadata.generation ?? 0) < 0) {
    errors.push(field.invalid(`${path}.generation`, metadata.generation, 'must be greater than or equal to 0'));
  }
  errors.push(...validateLabels(metadata.labels, `${path}.labels`));
  errors.push(...validateAnnotations(metadata.annotations, `${path}.annotations`));
  errors.push(...validateOwnerReferences(metadata.ownerReferences ?? [], `${path}.ownerReferences`));
  errors.push(...validateFinalizers(metadata.finalizers ?? [], `${path}.finalizers`));
  return errors;
}

/** What an update may not change in `metadata`; `validateObjectMeta` runs as well. */
export function validateObjectMetaUpdate(metadata: V1ObjectMeta, old: V1ObjectMeta, path = 'metadata'): FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp) {
    const added = (metadata.finalizers ?? []).filter((f) => !(old.finalizers ?? []).includes(f));
    if (added.length > 0) {
      const list = added.map((f) => JSON.stringify(f)).join(', ');
      errors.push(
        field.forbidden(
          `${path}.finalizers`,
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
        ),
      );
    }
  }
  if (!metadata.resourceVersion) {
    errors.push(field.invalid(`${path}.resourceVersion`, '', 'must be specified for an update'));
  }
  if ((metadata.generation ?? 0) < (old.generation ?? 0)) {
    errors.push(field.invalid(`${path}.generation`, metadata.generation ?? 0, 'must not be decremented'));
  }
  const fixed = [
    'name',
    'namespace',
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
  ] as const;
  for (const name of fixed) {
    if ((metadata[name] ?? null) !== (old[name] ?? null)) {
      errors.push(field.invalid(`${path}.${name}`, metadata[name] ?? null, 'field is immutable'));
    }
  }
  return errors;
}
