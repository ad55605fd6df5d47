// What the published types do not carry: how lists and maps merge, which strings are enumerated,
// which values differ between "left out" and "zero". Read as `Type field:fact field:fact`.

const condition = 'conditions:map(type)+merge(type)';

/**
 * Lists that are not replaced as a whole: `map(keys)` and `set` for server-side apply (KEP-555),
 * `merge(key)` and `retainKeys` for strategic merge patches. A list without an entry is atomic.
 */
export const mergeFacts = `
CoreV1EndpointPort !atomic
DiscoveryV1EndpointPort !atomic
RbacV1Subject !atomic
V1APIServiceStatus ${condition}
V1AllocatedDeviceStatus conditions:map(type)
V1CSIDriverSpec volumeLifecycleModes:set
V1CSINodeSpec drivers:map(name)+merge(name)
V1CertificateSigningRequestStatus conditions:map(type)
V1ComponentStatus ${condition}
V1ConfigMapKeySelector !atomic
V1Container env:map(name)+merge(name) ports:map(containerPort,protocol)+merge(containerPort) volumeDevices:map(devicePath)+merge(devicePath) volumeMounts:map(mountPath)+merge(mountPath)
V1ContainerRestartRuleOnExitCodes values:set
V1ContainerStatus allocatedResourcesStatus:map(name)+merge(name) volumeMounts:map(mountPath)+merge(mountPath)
V1CrossVersionObjectReference !atomic
V1CustomResourceDefinitionStatus conditions:map(type)
V1DaemonSetStatus ${condition}
V1DeploymentSpec strategy:retainKeys
V1DeploymentStatus ${condition}
V1Endpoint addresses:set
V1EndpointAddress !atomic
V1EphemeralContainer env:map(name)+merge(name) ports:map(containerPort,protocol)+merge(containerPort) volumeDevices:map(devicePath)+merge(devicePath) volumeMounts:map(mountPath)+merge(mountPath)
V1FileKeySelector !atomic
V1FlowSchemaStatus ${condition}
V1JSONSchemaProps x-kubernetes-validations:map(rule)+merge(rule)
V1JobStatus conditions:merge(type)
V1LabelSelector !atomic
V1LocalObjectReference !atomic
V1MatchResources !atomic
V1MutatingWebhook matchConditions:map(name)+merge(name)
V1MutatingWebhookConfiguration webhooks:map(name)+merge(name)
V1NamedRuleWithOperations !atomic
V1NamespaceStatus ${condition}
V1NodeSelector !atomic
V1NodeSelectorTerm !atomic
V1NodeSpec podCIDRs:set+merge()
V1NodeStatus addresses:map(type)+merge(type) ${condition}
V1NonResourcePolicyRule nonResourceURLs:set verbs:set
V1ObjectFieldSelector !atomic
V1ObjectMeta finalizers:set+merge() ownerReferences:map(uid)+merge(uid)
V1ObjectReference !atomic
V1OwnerReference !atomic
V1ParamKind !atomic
V1ParamRef !atomic
V1PersistentVolumeClaimStatus allocatedResourceStatuses:granular ${condition}
V1PersistentVolumeSpec claimRef:granular
V1PodDisruptionBudgetSpec selector:replace
V1PodDisruptionBudgetStatus ${condition}
V1PodFailurePolicyOnExitCodesRequirement values:set
V1PodSpec containers:map(name)+merge(name) ephemeralContainers:map(name)+merge(name) hostAliases:map(ip)+merge(ip) imagePullSecrets:map(name)+merge(name) initContainers:map(name)+merge(name) nodeSelector:atomic resourceClaims:map(name)+merge(name)+retainKeys schedulingGates:map(name)+merge(name) topologySpreadConstraints:map(topologyKey,whenUnsatisfiable)+merge(topologyKey) volumes:map(name)+merge(name)+retainKeys
V1PodStatus ${condition} hostIPs:merge(ip) podIPs:map(ip)+merge(ip) resourceClaimStatuses:map(name)+merge(name)+retainKeys
V1PriorityLevelConfigurationStatus ${condition}
V1ReplicaSetStatus ${condition}
V1ReplicationControllerSpec selector:atomic
V1ReplicationControllerStatus ${condition}
V1ResourceClaimStatus devices:map(driver,device,pool,shareID) reservedFor:map(uid)+merge(uid)
V1ResourceFieldSelector !atomic
V1ResourcePolicyRule apiGroups:set namespaces:set resources:set verbs:set
V1ResourceRequirements claims:map(name)
V1ResourceStatus resources:map(resourceID)
V1RoleRef !atomic
V1Scheduling nodeSelector:atomic
V1ScopeSelector !atomic
V1SecretKeySelector !atomic
V1SecretReference !atomic
V1ServiceAccount secrets:map(name)+merge(name)
V1ServiceBackendPort !atomic
V1ServiceCIDRStatus ${condition}
V1ServiceSpec ports:map(port,protocol)+merge(port) selector:atomic
V1ServiceStatus ${condition}
V1StatefulSetStatus ${condition}
V1TopologySelectorTerm !atomic
V1TypedLocalObjectReference !atomic
V1UncountedTerminatedPods failed:set succeeded:set
V1ValidatingAdmissionPolicyBindingSpec validationActions:set
V1ValidatingAdmissionPolicySpec matchConditions:map(name)+merge(name) variables:map(name)+merge(name)
V1ValidatingAdmissionPolicyStatus conditions:map(type)
V1ValidatingWebhook matchConditions:map(name)+merge(name)
V1ValidatingWebhookConfiguration webhooks:map(name)+merge(name)
V1Variable !atomic
V2HorizontalPodAutoscalerStatus ${condition}
`;

const protocols = 'SCTP|TCP|UDP';
const pullPolicies = 'Always|IfNotPresent|Never';
const matchPolicies = 'Equivalent|Exact';
const webhookEffects = 'None|NoneOnDryRun|Some|Unknown';
const containerEnums = `imagePullPolicy:${pullPolicies} terminationMessagePolicy:FallbackToLogsOnError|File`;

/** Strings with a closed set of values, as OpenAPI documents list them. */
export const enumFacts = `
CoreV1EndpointPort protocol:${protocols}
DiscoveryV1EndpointPort protocol:${protocols}
V1AppArmorProfile type:Localhost|RuntimeDefault|Unconfined
V1AzureDiskVolumeSource cachingMode:None|ReadOnly|ReadWrite kind:Dedicated|Managed|Shared
V1Container ${containerEnums}
V1ContainerPort protocol:${protocols}
V1ContainerStatus stopSignal:@signals
V1CronJobSpec concurrencyPolicy:Allow|Forbid|Replace
V1DaemonSetUpdateStrategy type:OnDelete|RollingUpdate
V1DeploymentStrategy type:Recreate|RollingUpdate
V1DeviceSubRequest allocationMode:All|ExactCount
V1DeviceTaint effect:NoExecute|NoSchedule
V1DeviceToleration effect:NoExecute|NoSchedule operator:Equal|Exists
V1EndpointSlice addressType:FQDN|IPv4|IPv6
V1EphemeralContainer ${containerEnums}
V1ExactDeviceRequest allocationMode:All|ExactCount
V1HTTPGetAction scheme:HTTP|HTTPS
V1HTTPIngressPath pathType:Exact|ImplementationSpecific|Prefix
V1HostPathVolumeSource type:|BlockDevice|CharDevice|Directory|DirectoryOrCreate|File|FileOrCreate|Socket
V1ImageVolumeSource pullPolicy:${pullPolicies}
V1IngressPortStatus protocol:${protocols}
V1JobSpec completionMode:Indexed|NonIndexed podReplacementPolicy:Failed|TerminatingOrFailed
V1Lifecycle stopSignal:@signals
V1MatchResources matchPolicy:${matchPolicies}
V1ModifyVolumeStatus status:InProgress|Infeasible|Pending
V1MutatingWebhook failurePolicy:Fail|Ignore matchPolicy:${matchPolicies} reinvocationPolicy:IfNeeded|Never sideEffects:${webhookEffects}
V1NamedRuleWithOperations scope:*|Cluster|Namespaced
V1NamespaceStatus phase:Active|Terminating
V1NetworkPolicyPort protocol:${protocols}
V1NodeSelectorRequirement operator:DoesNotExist|Exists|Gt|In|Lt|NotIn
V1NodeStatus phase:Pending|Running|Terminated
V1PersistentVolumeClaimSpec volumeMode:Block|Filesystem
V1PersistentVolumeClaimStatus phase:Bound|Lost|Pending
V1PersistentVolumeSpec persistentVolumeReclaimPolicy:Delete|Recycle|Retain volumeMode:Block|Filesystem
V1PersistentVolumeStatus phase:Available|Bound|Failed|Pending|Released
V1PodDisruptionBudgetSpec unhealthyPodEvictionPolicy:AlwaysAllow|IfHealthyBudget
V1PodFailurePolicyOnExitCodesRequirement operator:In|NotIn
V1PodFailurePolicyRule action:Count|FailIndex|FailJob|Ignore
V1PodSecurityContext fsGroupChangePolicy:Always|OnRootMismatch supplementalGroupsPolicy:Merge|Strict
V1PodSpec dnsPolicy:ClusterFirst|ClusterFirstWithHostNet|Default|None preemptionPolicy:Never|PreemptLowerPriority restartPolicy:Always|Never|OnFailure
V1PodStatus phase:Failed|Pending|Running|Succeeded|Unknown qosClass:BestEffort|Burstable|Guaranteed
V1PortStatus protocol:${protocols}
V1PriorityClass preemptionPolicy:Never|PreemptLowerPriority
V1RuleWithOperations scope:*|Cluster|Namespaced
V1ScopedResourceSelectorRequirement operator:DoesNotExist|Exists|In|NotIn scopeName:BestEffort|CrossNamespacePodAffinity|NotBestEffort|NotTerminating|PriorityClass|Terminating|VolumeAttributesClass
V1SeccompProfile type:Localhost|RuntimeDefault|Unconfined
V1SecurityContext procMount:Default|Unmasked
V1ServicePort protocol:${protocols}
V1ServiceSpec externalTrafficPolicy:Cluster|Local internalTrafficPolicy:Cluster|Local ipFamilyPolicy:PreferDualStack|RequireDualStack|SingleStack sessionAffinity:ClientIP|None type:ClusterIP|ExternalName|LoadBalancer|NodePort
V1StatefulSetSpec podManagementPolicy:OrderedReady|Parallel
V1StatefulSetUpdateStrategy type:OnDelete|RollingUpdate
V1StorageClass reclaimPolicy:Delete|Recycle|Retain volumeBindingMode:Immediate|WaitForFirstConsumer
V1Taint effect:NoExecute|NoSchedule|PreferNoSchedule
V1Toleration effect:NoExecute|NoSchedule|PreferNoSchedule operator:Equal|Exists
V1TopologySpreadConstraint nodeAffinityPolicy:Honor|Ignore nodeTaintsPolicy:Honor|Ignore whenUnsatisfiable:DoNotSchedule|ScheduleAnyway
V1ValidatingAdmissionPolicySpec failurePolicy:Fail|Ignore
V1ValidatingWebhook failurePolicy:Fail|Ignore matchPolicy:${matchPolicies} sideEffects:${webhookEffects}
V1ValidationRule reason:FieldValueDuplicate|FieldValueForbidden|FieldValueInvalid|FieldValueRequired
V1VolumeMount mountPropagation:Bidirectional|HostToContainer|None
`;

/** Signals that a container may ask for (KEP-4960), which stand for `@signals` above. */
export function stopSignals(): readonly string[] {
  const named =
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX';
  const real = [
    ...Array.from({ length: 15 }, (_, i) => `RTMIN+${i + 1}`),
    ...Array.from({ length: 14 }, (_, i) => `RTMAX-${i + 1}`),
  ];
  return [...named.split(' '), ...real].map((name) => `SIG${name}`).sort();
}

/** Default values that OpenAPI documents show beside the zero values of required fields. */
export const defaultFacts = `
V1AzureDiskVolumeSource cachingMode:"ReadWrite" fsType:"ext4" kind:"Shared" readOnly:false
V1ContainerPort protocol:"TCP"
V1DeviceToleration operator:"Equal"
V1FileKeySelector optional:false
V1GRPCAction service:""
V1ISCSIPersistentVolumeSource iscsiInterface:"default"
V1ISCSIVolumeSource iscsiInterface:"default"
V1LocalObjectReference name:""
V1RBDPersistentVolumeSource keyring:"/etc/ceph/keyring" pool:"rbd" user:"admin"
V1RBDVolumeSource keyring:"/etc/ceph/keyring" pool:"rbd" user:"admin"
V1ReplicationControllerSpec minReadySeconds:0 replicas:1
V1ScaleIOPersistentVolumeSource fsType:"xfs" storageMode:"ThinProvisioned"
V1ScaleIOVolumeSource fsType:"xfs" storageMode:"ThinProvisioned"
V1ServicePort protocol:"TCP"
`;

/** Struct fields that are written even when nothing was given (`resources: {}`, a time as `null`), beside spec and status. */
export const alwaysFacts = `
CoreV1Event eventTime firstTimestamp involvedObject lastTimestamp source
V1APIGroup preferredVersion
V1Container resources
V1ContainerStatus lastState state
V1DaemonSetSpec updateStrategy
V1DeploymentSpec strategy
V1Endpoint conditions
V1EphemeralContainer resources
V1IngressStatus loadBalancer
V1NodeDaemonEndpoints kubeletEndpoint
V1NodeStatus daemonEndpoints nodeInfo
V1PersistentVolumeClaimSpec resources
V1PodCondition lastProbeTime
V1ServiceStatus loadBalancer
V1StatefulSetSpec updateStrategy
`;

/** Optional strings where an empty text says something (pointers upstream) and is kept. */
export const keptStringFacts = `
AdmissionregistrationV1ServiceReference path
AdmissionregistrationV1WebhookClientConfig url
ApiextensionsV1ServiceReference path
ApiextensionsV1WebhookClientConfig url
CoreV1EndpointPort appProtocol
CoreV1ResourceClaim request
DiscoveryV1EndpointPort appProtocol name protocol
V1CSIPersistentVolumeSource fsType
V1CSIVolumeSource fsType
V1Container restartPolicy
V1CronJobSpec timeZone
V1Endpoint hostname nodeName zone
V1EndpointAddress nodeName
V1EphemeralContainer restartPolicy
V1GRPCAction service
V1HostPathVolumeSource type
V1IngressClassParametersReference apiGroup namespace scope
V1IngressSpec ingressClassName
V1JobSpec completionMode managedBy podReplacementPolicy
V1LeaseSpec holderIdentity preferredHolder strategy
V1PersistentVolumeClaimSpec storageClassName volumeAttributesClassName volumeMode
V1PersistentVolumeSpec volumeAttributesClassName volumeMode
V1PodSpec hostnameOverride preemptionPolicy runtimeClassName
V1SeccompProfile localhostProfile
V1ServicePort appProtocol
V1ServiceSpec internalTrafficPolicy ipFamilyPolicy loadBalancerClass
V1TypedLocalObjectReference apiGroup
V1TypedObjectReference apiGroup namespace
V1VolumeAttachmentSource persistentVolumeName
V1WindowsSecurityContextOptions gmsaCredentialSpec gmsaCredentialSpecName runAsUserName
`;

/** Optional numbers and booleans whose zero is the same as leaving them out (no pointers upstream). */
export const droppedZeroFacts = `
CoreV1Event count
V1AWSElasticBlockStoreVolumeSource partition readOnly
V1CSIPersistentVolumeSource readOnly
V1CephFSVolumeSource readOnly
V1CinderVolumeSource readOnly
V1Container stdin stdinOnce tty
V1ContainerPort hostPort
V1ContainerStateTerminated signal
V1DaemonSetSpec minReadySeconds
V1DaemonSetStatus numberAvailable numberUnavailable observedGeneration updatedNumberScheduled
V1DeploymentSpec minReadySeconds paused
V1DeploymentStatus availableReplicas observedGeneration readyReplicas replicas unavailableReplicas updatedReplicas
V1EphemeralContainer stdin stdinOnce tty
V1FCVolumeSource readOnly
V1FlexVolumeSource readOnly
V1GCEPersistentDiskVolumeSource partition readOnly
V1ISCSIVolumeSource chapAuthDiscovery chapAuthSession readOnly
V1JobStatus active failed succeeded
V1NFSVolumeSource readOnly
V1NodeSpec unschedulable
V1ObjectMeta generation
V1PersistentVolumeClaimVolumeSource readOnly
V1PodDisruptionBudgetStatus observedGeneration
V1PodSpec hostIPC hostNetwork hostPID
V1PriorityClass globalDefault
V1Probe failureThreshold initialDelaySeconds periodSeconds successThreshold timeoutSeconds
V1ReplicaSetSpec minReadySeconds
V1ReplicaSetStatus availableReplicas fullyLabeledReplicas observedGeneration readyReplicas
V1ReplicationControllerSpec minReadySeconds
V1ReplicationControllerStatus availableReplicas fullyLabeledReplicas observedGeneration readyReplicas
V1ScaleSpec replicas
V1ServicePort nodePort
V1ServiceSpec healthCheckNodePort publishNotReadyAddresses
V1StatefulSetSpec minReadySeconds
V1StatefulSetStatus currentReplicas observedGeneration readyReplicas updatedReplicas
V1Status code
V1VolumeMount readOnly
`;
