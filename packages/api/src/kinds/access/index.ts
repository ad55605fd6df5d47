import type {
  RbacV1Subject,
  V1CertificateSigningRequest,
  V1ClusterRole,
  V1ClusterRoleBinding,
  V1PolicyRule,
  V1RoleBinding,
} from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { checkRequiredName } from '../shared/checks.ts';
import { ageColumn, nameColumn, orNone } from '../shared/columns.ts';
import { humanDuration } from '../shared/duration.ts';
import { sameValue } from '../shared/equality.ts';
import { validateLabelSelector } from '../shared/label-selector.ts';
import { dnsLabelProblems, dnsSubdomainProblems, pathSegmentProblems } from '../shared/names.ts';

const rbacGroup = 'rbac.authorization.k8s.io';

function validateRules(rules: readonly V1PolicyRule[] | undefined, namespaced: boolean): FieldError[] {
  return (rules ?? []).flatMap((rule, index) => {
    const at = `rules[${index}]`;
    const errors: FieldError[] = [];
    if (!rule.verbs?.length) errors.push(field.required(`${at}.verbs`, 'verbs must contain at least one value'));
    if (rule.nonResourceURLs?.length) {
      if (namespaced) {
        const words = 'namespaced rules cannot apply to non-resource URLs';
        errors.push(field.invalid(`${at}.nonResourceURLs`, rule.nonResourceURLs, words));
      }
      if (rule.apiGroups?.length || rule.resources?.length || rule.resourceNames?.length) {
        const words = 'rules cannot apply to both regular resources and non-resource URLs';
        errors.push(field.invalid(`${at}.nonResourceURLs`, rule.nonResourceURLs, words));
      }
      return errors;
    }
    if (!rule.apiGroups?.length) {
      errors.push(field.required(`${at}.apiGroups`, 'resource rules must supply at least one api group'));
    }
    if (!rule.resources?.length) {
      errors.push(field.required(`${at}.resources`, 'resource rules must supply at least one resource'));
    }
    return errors;
  });
}

function roleBehaviour(namespaced: boolean) {
  return behaviourOf<V1ClusterRole>({
    validateName: pathSegmentProblems,
    validate: (role) => [
      ...validateRules(role.rules, namespaced),
      ...(role.aggregationRule?.clusterRoleSelectors ?? []).flatMap((selector, i) =>
        validateLabelSelector(selector, `aggregationRule.clusterRoleSelectors[${i}]`),
      ),
      ...(role.aggregationRule && !role.aggregationRule.clusterRoleSelectors?.length
        ? [
            field.required(
              'aggregationRule.clusterRoleSelectors',
              'at least one clusterRoleSelector required if aggregationRule is non-nil',
            ),
          ]
        : []),
    ],
    ...printer<V1ClusterRole>([
      nameColumn,
      { name: 'Created At', cell: (role) => role.metadata?.creationTimestamp ?? '' },
    ]),
  });
}

export const clusterRoleBehaviour = roleBehaviour(false);
export const namespacedRoleBehaviour = roleBehaviour(true);

type AnyBinding = V1ClusterRoleBinding | V1RoleBinding;

function defaultBinding(binding: AnyBinding): void {
  binding.roleRef ??= { apiGroup: '', kind: '', name: '' };
  binding.roleRef.apiGroup ||= rbacGroup;
  for (const subject of binding.subjects ?? []) {
    if (subject.apiGroup) continue;
    if (subject.kind === 'User' || subject.kind === 'Group') subject.apiGroup = rbacGroup;
  }
}

function validateSubject(subject: RbacV1Subject, namespaced: boolean, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!subject.name) errors.push(field.required(`${at}.name`));
  if (subject.kind === 'ServiceAccount') {
    if (subject.name) errors.push(...checkRequiredName(subject.name, dnsSubdomainProblems, `${at}.name`));
    if (subject.apiGroup) errors.push(field.notSupported(`${at}.apiGroup`, subject.apiGroup, ['']));
    if (!namespaced && !subject.namespace) errors.push(field.required(`${at}.namespace`));
    else if (subject.namespace)
      errors.push(...checkRequiredName(subject.namespace, dnsLabelProblems, `${at}.namespace`));
  } else if (subject.kind === 'User' || subject.kind === 'Group') {
    if (subject.apiGroup !== rbacGroup)
      errors.push(field.notSupported(`${at}.apiGroup`, subject.apiGroup, [rbacGroup]));
  } else errors.push(field.notSupported(`${at}.kind`, subject.kind, ['Group', 'ServiceAccount', 'User']));
  return errors;
}

function bindingBehaviour(namespaced: boolean) {
  const kinds = namespaced ? ['ClusterRole', 'Role'] : ['ClusterRole'];
  const names = (binding: AnyBinding, kind: string) =>
    (binding.subjects ?? []).filter((subject) => subject.kind === kind);
  return behaviourOf<AnyBinding>({
    validateName: pathSegmentProblems,
    defaults: defaultBinding,
    validate: (binding) => {
      const ref = binding.roleRef;
      const errors: FieldError[] = [];
      if (ref.apiGroup !== rbacGroup) errors.push(field.notSupported('roleRef.apiGroup', ref.apiGroup, [rbacGroup]));
      if (!kinds.includes(ref.kind)) errors.push(field.notSupported('roleRef.kind', ref.kind, kinds));
      if (!ref.name) errors.push(field.required('roleRef.name'));
      else errors.push(...checkRequiredName(ref.name, pathSegmentProblems, 'roleRef.name'));
      (binding.subjects ?? []).forEach((subject, index) => {
        errors.push(...validateSubject(subject, namespaced, `subjects[${index}]`));
      });
      return errors;
    },
    validateUpdate: (binding, old) =>
      sameValue(binding.roleRef, old.roleRef)
        ? []
        : [field.invalid('roleRef', binding.roleRef, 'cannot change roleRef')],
    ...printer<AnyBinding>([
      nameColumn,
      { name: 'Role', cell: (binding) => `${binding.roleRef?.kind}/${binding.roleRef?.name}` },
      ageColumn,
      {
        name: 'Users',
        wide: true,
        cell: (b) =>
          names(b, 'User')
            .map((s) => s.name)
            .join(', '),
      },
      {
        name: 'Groups',
        wide: true,
        cell: (b) =>
          names(b, 'Group')
            .map((s) => s.name)
            .join(', '),
      },
      {
        name: 'ServiceAccounts',
        wide: true,
        cell: (b) =>
          names(b, 'ServiceAccount')
            .map((s) => (s.namespace ? `${s.namespace}/${s.name}` : s.name))
            .join(', '),
      },
    ]),
  });
}

export const clusterRoleBindingBehaviour = bindingBehaviour(false);
export const roleBindingBehaviour = bindingBehaviour(true);

function requestCondition(request: V1CertificateSigningRequest): string {
  const conditions = request.status?.conditions ?? [];
  const words: string[] = [];
  for (const type of ['Approved', 'Denied', 'Failed']) if (conditions.some((c) => c.type === type)) words.push(type);
  if (words.length === 0) words.push('Pending');
  if (request.status?.certificate) words.push('Issued');
  return words.join(',');
}

export const signingRequestBehaviour = behaviourOf<V1CertificateSigningRequest>({
  defaults: (request) => {
    request.status ??= {};
    if (request.spec && !request.spec.usages?.length) request.spec.usages = ['digital signature', 'key encipherment'];
  },
  prepareForCreate: (request) => {
    request.status = {};
  },
  prepareForUpdate: (request, old) => {
    request.spec = old.spec;
    if (old.status !== undefined) request.status = old.status;
  },
  validate: ({ spec }) => {
    const errors: FieldError[] = [];
    if (!spec?.request) errors.push(field.required('spec.request'));
    if (!spec?.signerName) errors.push(field.required('spec.signerName'));
    if (spec?.expirationSeconds !== undefined && spec.expirationSeconds < 600) {
      const words = 'may not specify a duration less than 600 seconds (10 minutes)';
      errors.push(field.invalid('spec.expirationSeconds', spec.expirationSeconds, words));
    }
    return errors;
  },
  selectableFields: (request) => ({ 'spec.signerName': request.spec?.signerName ?? '' }),
  selectableFieldNames: ['spec.signerName'],
  ...printer<V1CertificateSigningRequest>([
    nameColumn,
    ageColumn,
    { name: 'SignerName', cell: (request) => request.spec?.signerName ?? '' },
    { name: 'Requestor', cell: (request) => request.spec?.username ?? '' },
    {
      name: 'RequestedDuration',
      cell: ({ spec }) => (spec?.expirationSeconds ? humanDuration(spec.expirationSeconds * 1000) : orNone(undefined)),
    },
    { name: 'Condition', cell: requestCondition },
  ]),
});
