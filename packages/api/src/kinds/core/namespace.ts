import type { V1Namespace } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { ageColumn, nameColumn } from '../shared/columns.ts';
import { qualifiedNameProblems, validateLabelName } from '../shared/names.ts';

/** Every namespace carries its own name as a label (KEP-2161). */
const nameLabel = 'kubernetes.io/metadata.name';

function validate(namespace: V1Namespace): FieldError[] {
  return (namespace.spec?.finalizers ?? []).flatMap((finalizer) =>
    qualifiedNameProblems(finalizer).map((problem) => field.invalid('spec.finalizers', finalizer, problem)),
  );
}

export const namespaceBehaviour = behaviourOf<V1Namespace>({
  defaults: (namespace) => {
    namespace.spec ??= {};
    namespace.status ??= {};
    namespace.status.phase ||= 'Active';
    if (!namespace.metadata?.name) return;
    namespace.metadata.labels = { ...namespace.metadata.labels, [nameLabel]: namespace.metadata.name };
  },
  prepareForCreate: (namespace) => {
    namespace.status = { phase: 'Active' };
    const finalizers = namespace.spec?.finalizers ?? [];
    if (!finalizers.includes('kubernetes'))
      namespace.spec = { ...namespace.spec, finalizers: [...finalizers, 'kubernetes'] };
  },
  prepareForUpdate: (namespace, old) => {
    // Only `/finalize` may change these.
    namespace.spec = { ...namespace.spec, finalizers: old.spec?.finalizers };
    namespace.status = old.status;
  },
  validate,
  validateName: validateLabelName,
  selectableFields: (namespace) => ({
    'status.phase': namespace.status?.phase ?? '',
    name: namespace.metadata?.name ?? '',
  }),
  selectableFieldNames: ['status.phase', 'name'],
  ...printer<V1Namespace>([
    nameColumn,
    { name: 'Status', cell: (namespace) => namespace.status?.phase ?? '' },
    ageColumn,
  ]),
});
