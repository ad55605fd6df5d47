import type { V1ResourceRequirements } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { compareQuantity, isQuantity, quantityMilliValue } from '../../quantity.ts';
import { qualifiedNameProblems } from './names.ts';

const standard = new Set(['cpu', 'memory', 'ephemeral-storage']);

/** Whether the scheduler must not overcommit a resource: extended ones and huge pages. */
function forbidsOvercommit(name: string): boolean {
  return isExtended(name) || name.startsWith('hugepages-');
}

/** Whether a resource belongs to neither the `kubernetes.io` domain nor the built-in ones. */
export function isExtended(name: string): boolean {
  if (!name.includes('/') || name.split('/')[0]!.endsWith('kubernetes.io')) return false;
  return !name.startsWith('requests.');
}

/** A resource name of a container: standard, huge pages, or qualified. */
function validateResourceName(name: string, path: string): FieldError[] {
  const errors = qualifiedNameProblems(name).map((p) => field.invalid(path, name, p));
  if (errors.length > 0) return errors;
  if (name.includes('/')) return [];
  if (standard.has(name) || name.startsWith('hugepages-')) return [];
  return [field.invalid(path, name, 'must be a standard resource for containers')];
}

/** A quantity that is not negative; whole for resources that come in pieces. */
export function validateResourceAmount(name: string, amount: string, path: string): FieldError[] {
  if (!isQuantity(amount)) return [field.invalid(path, amount, 'must be a quantity')];
  if (compareQuantity(amount, '0') < 0) {
    return [field.invalid(path, amount, 'must be greater than or equal to 0')];
  }
  const whole = isExtended(name) || name === 'pods' || name.startsWith('count/');
  if (whole && quantityMilliValue(amount) % 1000 !== 0) return [field.invalid(path, amount, 'must be an integer')];
  return [];
}

function validateRequests(resources: V1ResourceRequirements, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const limits = resources.limits ?? {};
  for (const [name, amount] of Object.entries(resources.requests ?? {})) {
    const at = `${path}.requests`;
    errors.push(...validateResourceName(name, at));
    const problems = validateResourceAmount(name, amount, `${at}[${name}]`);
    errors.push(...problems);
    const limit = limits[name];
    if (problems.length > 0 || (limit !== undefined && !isQuantity(limit))) continue;
    if (limit === undefined) {
      if (forbidsOvercommit(name)) {
        errors.push(field.required(`${path}.limits`, 'Limit must be set for non overcommitable resources'));
      }
    } else if (forbidsOvercommit(name) && compareQuantity(amount, limit) !== 0) {
      errors.push(field.invalid(at, amount, `must be equal to ${name} limit of ${limit}`));
    } else if (!forbidsOvercommit(name) && compareQuantity(amount, limit) > 0) {
      errors.push(field.invalid(at, amount, `must be less than or equal to ${name} limit of ${limit}`));
    }
  }
  return errors;
}

/** Requests and limits of a container or a pod at `path`. */
export function validateResourceRequirements(
  resources: V1ResourceRequirements | undefined,
  path: string,
  claimNames: ReadonlySet<string> = new Set(),
): FieldError[] {
  if (!resources) return [];
  const errors: FieldError[] = [];
  for (const [name, amount] of Object.entries(resources.limits ?? {})) {
    errors.push(...validateResourceName(name, `${path}.limits`));
    errors.push(...validateResourceAmount(name, amount, `${path}.limits[${name}]`));
  }
  errors.push(...validateRequests(resources, path));
  (resources.claims ?? []).forEach((claim, index) => {
    const at = `${path}.claims[${index}]`;
    if (!claim.name) errors.push(field.required(`${at}.name`));
    else if (!claimNames.has(claim.name)) {
      errors.push({
        type: 'NotFound',
        field: `${at}.name`,
        value: claim.name,
        detail: 'must be one of the names in pod.spec.resourceClaims',
      });
    }
  });
  return errors;
}
