import type { KindDeclaration } from '../kind.ts';
import * as access from './access/index.ts';
import { controllerRevisionBehaviour } from './apps/controller-revision.ts';
import { daemonSetBehaviour } from './apps/daemon-set.ts';
import { deploymentBehaviour } from './apps/deployment.ts';
import { replicaSetBehaviour } from './apps/replica-set.ts';
import { statefulSetBehaviour } from './apps/stateful-set.ts';
import { cronJobBehaviour } from './batch/cron-job.ts';
import { jobBehaviour } from './batch/job.ts';
import type { Behaviour } from './behaviour.ts';
import { configMapBehaviour, secretBehaviour } from './core/config.ts';
import { eventBehaviour, newEventBehaviour } from './core/event.ts';
import { namespaceBehaviour } from './core/namespace.ts';
import { nodeBehaviour } from './core/node.ts';
import * as core from './core/others.ts';
import { serviceBehaviour } from './core/service.ts';
import { claimBehaviour, volumeBehaviour } from './core/storage.ts';
import * as extensions from './extensions.ts';
import * as network from './network/index.ts';
import { podBehaviour } from './pod/strategy.ts';
import { autoscalerBehaviour, oldAutoscalerBehaviour } from './policy/autoscaler.ts';
import * as policy from './policy/index.ts';
import { kindRows } from './table.ts';

export { cronProblem } from './batch/cron-expression.ts';
export { validateService } from './core/service.ts';
export { defaultPullPolicy } from './pod/default-container.ts';
export { allContainers, defaultPodSpec } from './pod/defaults.ts';
export { podSummary } from './pod/printer.ts';
export { type QosClass, qosClassOf } from './pod/qos.ts';
export { validatePodSpec, validatePodTemplate } from './pod/validate-spec.ts';
export { addAmounts, podResources, quotaCounts, quotaUsageOf } from './quota.ts';
export { ageOf, humanDuration } from './shared/duration.ts';
export { isEmptySelector, selectorMatches, validateLabelSelector } from './shared/label-selector.ts';
export {
  type ObjectMetaRules,
  validateAnnotations,
  validateFinalizers,
  validateLabels,
  validateObjectMeta,
  validateObjectMetaUpdate,
} from './shared/metadata.ts';
export {
  dns1035LabelProblems,
  dnsLabelProblems,
  dnsSubdomainProblems,
  pathSegmentProblems,
  qualifiedNameProblems,
} from './shared/names.ts';

/** `group/Kind` → what the kind does; kinds that are only data are left out. */
const behaviours: Readonly<Record<string, Behaviour>> = {
  '/ComponentStatus': core.componentStatusBehaviour,
  '/ConfigMap': configMapBehaviour,
  '/Endpoints': core.endpointsBehaviour,
  '/Event': eventBehaviour,
  '/LimitRange': core.limitRangeBehaviour,
  '/Namespace': namespaceBehaviour,
  '/Node': nodeBehaviour,
  '/PersistentVolume': volumeBehaviour,
  '/PersistentVolumeClaim': claimBehaviour,
  '/Pod': podBehaviour,
  '/PodTemplate': core.podTemplateBehaviour,
  '/ReplicationController': core.replicationControllerBehaviour,
  '/ResourceQuota': core.resourceQuotaBehaviour,
  '/Secret': secretBehaviour,
  '/Service': serviceBehaviour,
  '/ServiceAccount': core.serviceAccountBehaviour,
  'admissionregistration.k8s.io/MutatingWebhookConfiguration': extensions.mutatingWebhookBehaviour,
  'admissionregistration.k8s.io/ValidatingAdmissionPolicy': extensions.admissionPolicyBehaviour,
  'admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding': extensions.admissionPolicyBindingBehaviour,
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration': extensions.webhookBehaviour,
  'apiextensions.k8s.io/CustomResourceDefinition': extensions.customResourceDefinitionBehaviour,
  'apiregistration.k8s.io/APIService': extensions.apiServiceBehaviour,
  'apps/ControllerRevision': controllerRevisionBehaviour,
  'apps/DaemonSet': daemonSetBehaviour,
  'apps/Deployment': deploymentBehaviour,
  'apps/ReplicaSet': replicaSetBehaviour,
  'apps/StatefulSet': statefulSetBehaviour,
  'autoscaling/v1/HorizontalPodAutoscaler': oldAutoscalerBehaviour,
  'autoscaling/HorizontalPodAutoscaler': autoscalerBehaviour,
  'batch/CronJob': cronJobBehaviour,
  'batch/Job': jobBehaviour,
  'certificates.k8s.io/CertificateSigningRequest': access.signingRequestBehaviour,
  'coordination.k8s.io/Lease': network.leaseBehaviour,
  'discovery.k8s.io/EndpointSlice': network.endpointSliceBehaviour,
  'events.k8s.io/Event': newEventBehaviour,
  'flowcontrol.apiserver.k8s.io/FlowSchema': extensions.flowSchemaBehaviour,
  'flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration': extensions.priorityLevelBehaviour,
  'networking.k8s.io/IPAddress': network.ipAddressBehaviour,
  'networking.k8s.io/Ingress': network.ingressBehaviour,
  'networking.k8s.io/IngressClass': network.ingressClassBehaviour,
  'networking.k8s.io/NetworkPolicy': network.networkPolicyBehaviour,
  'networking.k8s.io/ServiceCIDR': network.serviceCidrBehaviour,
  'node.k8s.io/RuntimeClass': policy.runtimeClassBehaviour,
  'policy/PodDisruptionBudget': policy.disruptionBudgetBehaviour,
  'rbac.authorization.k8s.io/ClusterRole': access.clusterRoleBehaviour,
  'rbac.authorization.k8s.io/ClusterRoleBinding': access.clusterRoleBindingBehaviour,
  'rbac.authorization.k8s.io/Role': access.namespacedRoleBehaviour,
  'rbac.authorization.k8s.io/RoleBinding': access.roleBindingBehaviour,
  'resource.k8s.io/ResourceSlice': extensions.resourceSliceBehaviour,
  'scheduling.k8s.io/PriorityClass': policy.priorityClassBehaviour,
  'storage.k8s.io/CSIDriver': policy.csiDriverBehaviour,
  'storage.k8s.io/CSINode': policy.csiNodeBehaviour,
  'storage.k8s.io/StorageClass': policy.storageClassBehaviour,
  'storage.k8s.io/VolumeAttachment': policy.volumeAttachmentBehaviour,
};

/** Every kind of a default cluster: names and verbs from the table, joined with what each kind does. */
export const builtinKinds: readonly KindDeclaration[] = kindRows().map((row) => ({
  ...row,
  ...(behaviours[`${row.group}/${row.version}/${row.kind}`] ?? behaviours[`${row.group}/${row.kind}`]),
}));
