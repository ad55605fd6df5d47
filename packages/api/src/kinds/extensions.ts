import type {
  V1APIService,
  V1CustomResourceDefinition,
  V1FlowSchema,
  V1MutatingWebhookConfiguration,
  V1PriorityLevelConfiguration,
  V1ResourceSlice,
  V1ValidatingAdmissionPolicy,
  V1ValidatingAdmissionPolicyBinding,
} from '../../generated/types.ts';
import { type FieldError, field } from '../field-error.ts';
import { behaviourOf, printer } from './behaviour.ts';
import { ageColumn, nameColumn } from './shared/columns.ts';

/** Both kinds of webhook configurations: the same defaults and columns. */
export const webhookBehaviour = behaviourOf<V1MutatingWebhookConfiguration>({
  defaults: (configuration) => {
    for (const hook of configuration.webhooks ?? []) {
      hook.failurePolicy ??= 'Fail';
      hook.matchPolicy ??= 'Equivalent';
      hook.namespaceSelector ??= {};
      hook.objectSelector ??= {};
      hook.timeoutSeconds ??= 10;
      for (const rule of hook.rules ?? []) rule.scope ??= '*';
      if (hook.clientConfig?.service) hook.clientConfig.service.port ??= 443;
    }
  },
  specFields: ['webhooks'],
  ...printer<V1MutatingWebhookConfiguration>([
    nameColumn,
    { name: 'Webhooks', type: 'integer', cell: (configuration) => configuration.webhooks?.length ?? 0 },
    ageColumn,
  ]),
});

export const mutatingWebhookBehaviour = {
  ...webhookBehaviour,
  defaults: (object: object) => {
    const configuration = object as V1MutatingWebhookConfiguration;
    webhookBehaviour.defaults!(configuration as never);
    for (const hook of configuration.webhooks ?? []) hook.reinvocationPolicy ??= 'Never';
  },
};

export const admissionPolicyBehaviour = behaviourOf<V1ValidatingAdmissionPolicy>({
  defaults: (policy) => {
    policy.spec ??= {};
    policy.spec.failurePolicy ??= 'Fail';
    const match = policy.spec.matchConstraints;
    if (!match) return;
    match.matchPolicy ??= 'Equivalent';
    match.namespaceSelector ??= {};
    match.objectSelector ??= {};
  },
  specFields: ['spec'],
  ...printer<V1ValidatingAdmissionPolicy>([
    nameColumn,
    { name: 'Validations', type: 'integer', cell: ({ spec }) => spec?.validations?.length ?? 0 },
    {
      name: 'ParamKind',
      cell: ({ spec }) => (spec?.paramKind ? `${spec.paramKind.apiVersion}/${spec.paramKind.kind}` : '<unset>'),
    },
    ageColumn,
  ]),
});

export const admissionPolicyBindingBehaviour = behaviourOf<V1ValidatingAdmissionPolicyBinding>({
  specFields: ['spec'],
  ...printer<V1ValidatingAdmissionPolicyBinding>([
    nameColumn,
    { name: 'PolicyName', cell: ({ spec }) => spec?.policyName ?? '' },
    {
      name: 'ParamRef',
      cell: ({ spec }) => {
        const ref = spec?.paramRef;
        if (!ref) return '<unset>';
        return ref.name ? `${ref.namespace ? `${ref.namespace}/` : '*/'}${ref.name}` : `${ref.namespace ?? '*'}/*`;
      },
    },
    ageColumn,
  ]),
});

function validateDefinition(definition: V1CustomResourceDefinition): FieldError[] {
  const { spec, metadata } = definition;
  const errors: FieldError[] = [];
  if (!spec?.group) errors.push(field.required('spec.group'));
  if (!spec?.names?.plural) errors.push(field.required('spec.names.plural'));
  if (!spec?.names?.kind) errors.push(field.required('spec.names.kind'));
  const expected = `${spec?.names?.plural}.${spec?.group}`;
  if (metadata?.name !== expected) {
    errors.push(field.invalid('metadata.name', metadata?.name ?? '', 'must be spec.names.plural+"."+spec.group'));
  }
  const scopes = ['Cluster', 'Namespaced'];
  if (!scopes.includes(spec?.scope ?? '')) errors.push(field.notSupported('spec.scope', spec?.scope ?? '', scopes));
  const storage = (spec?.versions ?? []).filter((version) => version.storage);
  if (storage.length !== 1) {
    errors.push(
      field.invalid('spec.versions', spec?.versions ?? null, 'must have exactly one version marked as storage version'),
    );
  }
  (spec?.versions ?? []).forEach((version, index) => {
    if (!version.schema?.openAPIV3Schema) {
      errors.push(field.required(`spec.versions[${index}].schema.openAPIV3Schema`, 'schemas are required'));
    }
  });
  return errors;
}

export const customResourceDefinitionBehaviour = behaviourOf<V1CustomResourceDefinition>({
  defaults: ({ spec }) => {
    if (!spec) return;
    spec.names ??= { kind: '', plural: '' };
    spec.names.kind ??= '';
    spec.names.singular ||= spec.names.kind.toLowerCase();
    spec.names.listKind ||= `${spec.names.kind}List`;
    spec.conversion ??= { strategy: 'None' };
    if (spec.conversion.webhook?.clientConfig?.service) spec.conversion.webhook.clientConfig.service.port ??= 443;
  },
  prepareForCreate: (definition) => {
    const stored = definition.spec?.versions?.find((version) => version.storage)?.name;
    definition.status = {
      acceptedNames: { kind: '', plural: '' },
      conditions: [],
      storedVersions: stored ? [stored] : [],
    };
  },
  validate: validateDefinition,
  specFields: ['spec'],
  ...printer<V1CustomResourceDefinition>([
    nameColumn,
    { name: 'Created At', type: 'date', cell: ({ metadata }) => metadata?.creationTimestamp ?? '' },
  ]),
});

export const apiServiceBehaviour = behaviourOf<V1APIService>({
  ...printer<V1APIService>([
    nameColumn,
    {
      name: 'Service',
      cell: ({ spec }) => (spec?.service ? `${spec.service.namespace}/${spec.service.name}` : 'Local'),
    },
    {
      name: 'Available',
      cell: ({ status }) => {
        const available = status?.conditions?.find((condition) => condition.type === 'Available');
        if (!available) return 'Unknown';
        return available.status === 'True' ? 'True' : `${available.status} (${available.reason})`;
      },
    },
    ageColumn,
  ]),
});

export const flowSchemaBehaviour = behaviourOf<V1FlowSchema>({
  defaults: ({ spec }) => {
    if (spec) spec.matchingPrecedence ??= 1000;
  },
  specFields: ['spec'],
  ...printer<V1FlowSchema>([
    nameColumn,
    { name: 'PriorityLevel', cell: ({ spec }) => spec?.priorityLevelConfiguration?.name ?? '' },
    { name: 'MatchingPrecedence', type: 'integer', cell: ({ spec }) => spec?.matchingPrecedence ?? 0 },
    { name: 'DistinguisherMethod', cell: ({ spec }) => spec?.distinguisherMethod?.type ?? '<none>' },
    ageColumn,
    {
      name: 'MissingPL',
      cell: ({ status }) => status?.conditions?.find((condition) => condition.type === 'Dangling')?.status ?? '?',
    },
  ]),
});

export const priorityLevelBehaviour = behaviourOf<V1PriorityLevelConfiguration>({
  defaults: ({ spec }) => {
    if (!spec?.limited) return;
    spec.limited.nominalConcurrencyShares ??= 30;
    spec.limited.lendablePercent ??= 0;
    const queuing = spec.limited.limitResponse?.queuing;
    if (!queuing) return;
    queuing.handSize ??= 8;
    queuing.queues ??= 64;
    queuing.queueLengthLimit ??= 50;
  },
  specFields: ['spec'],
  ...printer<V1PriorityLevelConfiguration>([
    nameColumn,
    { name: 'Type', cell: ({ spec }) => spec?.type ?? '' },
    { name: 'NominalConcurrencyShares', cell: ({ spec }) => spec?.limited?.nominalConcurrencyShares ?? '<none>' },
    { name: 'Queues', cell: ({ spec }) => spec?.limited?.limitResponse?.queuing?.queues ?? '<none>' },
    { name: 'HandSize', cell: ({ spec }) => spec?.limited?.limitResponse?.queuing?.handSize ?? '<none>' },
    {
      name: 'QueueLengthLimit',
      cell: ({ spec }) => spec?.limited?.limitResponse?.queuing?.queueLengthLimit ?? '<none>',
    },
    ageColumn,
  ]),
});

export const resourceSliceBehaviour = behaviourOf<V1ResourceSlice>({
  specFields: ['spec'],
  selectableFields: ({ spec }) => ({ 'spec.nodeName': spec?.nodeName ?? '', 'spec.driver': spec?.driver ?? '' }),
  selectableFieldNames: ['spec.nodeName', 'spec.driver'],
  ...printer<V1ResourceSlice>([
    nameColumn,
    { name: 'Node', cell: ({ spec }) => spec?.nodeName ?? '<unset>' },
    { name: 'Driver', cell: ({ spec }) => spec?.driver ?? '' },
    { name: 'Pool', cell: ({ spec }) => spec?.pool?.name ?? '' },
    ageColumn,
  ]),
});
