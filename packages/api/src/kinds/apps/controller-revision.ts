import type { V1ControllerRevision } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { checkImmutable } from '../shared/checks.ts';
import { ageColumn, nameColumn } from '../shared/columns.ts';
import { sameValue } from '../shared/equality.ts';

function controllerText(revision: V1ControllerRevision): string {
  const owner = revision.metadata?.ownerReferences?.find((reference) => reference.controller);
  if (!owner) return '<none>';
  const group = owner.apiVersion.includes('/') ? `.${owner.apiVersion.split('/')[0]}` : '';
  return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
}

export const controllerRevisionBehaviour = behaviourOf<V1ControllerRevision>({
  validate: (revision) => {
    const errors: FieldError[] = [];
    if (revision.revision < 0) {
      errors.push(field.invalid('revision', revision.revision, 'must be greater than or equal to 0'));
    }
    if (revision.data === undefined) errors.push(field.required('data', 'data is mandatory'));
    return errors;
  },
  validateUpdate: (revision, old) => checkImmutable(sameValue(revision.data, old.data), revision.data, 'data'),
  ...printer<V1ControllerRevision>([
    nameColumn,
    { name: 'Controller', cell: controllerText },
    { name: 'Revision', type: 'integer', cell: (revision) => revision.revision },
    ageColumn,
  ]),
});
