const conventions = 'https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md';

/** Texts of fields that the generated documentation lacks (types that only servers write), by `Type.field`. */
const texts: Readonly<Record<string, string>> = {
  'CoreV1Event.involvedObject': 'The object that this event is about.',
  'CoreV1Event.related': 'Optional secondary object for more complex actions.',
  'CoreV1Event.series': 'The series that this event stands for, if it is more than a single occurrence.',
  'CoreV1Event.source': 'The component that reports this event, as a short name for machines.',
  'FlowcontrolV1Subject.group': 'Matches by the name of a user group.',
  'FlowcontrolV1Subject.serviceAccount': 'Matches service accounts.',
  'FlowcontrolV1Subject.user': 'Matches by user name.',
  'V1APIGroup.preferredVersion': 'The version that the server prefers.',
  'V1AllocationResult.devices': 'The devices that were allocated.',
  'V1ContainerState.running': 'Details about a running container',
  'V1ContainerState.terminated': 'Details about a terminated container',
  'V1ContainerState.waiting': 'Details about a waiting container',
  'V1ContainerStatus.lastState': 'The last termination of the container, when it is running again or waiting to.',
  'V1ContainerStatus.resources': 'The requests and limits in effect on the running container.',
  'V1ContainerStatus.state': "The container's current condition.",
  'V1ContainerStatus.user': 'The identity that the first process of the container was given.',
  'V1ContainerUser.linux': 'The identity that the first process of the container was given on Linux.',
  'V1CustomResourceDefinitionStatus.acceptedNames': 'The names that are served; they may differ from those in spec.',
  'V1IngressStatus.loadBalancer': 'The current status of the load balancer.',
  'V1JobStatus.uncountedTerminatedPods': 'UIDs of pods that ended but are not yet counted in the status.',
  'V1NodeDaemonEndpoints.kubeletEndpoint': 'Endpoint on which the kubelet listens.',
  'V1NodeStatus.daemonEndpoints': 'Endpoints of daemons running on the Node.',
  'V1NodeStatus.features': 'What the container runtime supports.',
  'V1NodeStatus.nodeInfo': 'Identities and versions of the node and of what runs on it.',
  'V1NodeSystemInfo.swap': 'The swap space that the node reports.',
  'V1PersistentVolumeClaimStatus.modifyVolumeStatus': 'How far a change of the volume is, if there is one.',
  'V1SelfSubjectReviewStatus.userInfo': 'Attributes of the user who makes this request.',
  'V1ServiceStatus.loadBalancer': 'The current status of the load balancer, if there is one.',
  'V1TokenReviewStatus.user': 'The user that the token belongs to.',
  'V1VolumeAttachmentStatus.attachError': 'The last failure to attach, if any.',
  'V1VolumeAttachmentStatus.detachError': 'The last failure to detach, if any.',
  'V2MetricStatus.containerResource': 'A resource of one container in each pod of the target.',
  'V2MetricStatus.external': 'A metric that belongs to no object of the cluster.',
  'V2MetricStatus.object': 'A metric that describes one object of the cluster.',
  'V2MetricStatus.pods': 'A metric of each pod in the target, averaged.',
  'V2MetricStatus.resource': 'A resource of each pod in the target, such as CPU or memory.',
};

/** The description of a field that the generated documentation has none for; may be empty. */
export function missingDescription(type: string, field: string): string {
  const own = texts[`${type}.${field}`];
  if (own !== undefined) return own;
  if (field === 'metadata') return `Standard object's metadata. More info: ${conventions}#metadata`;
  if (field === 'current') return 'The current value of the metric';
  if (field === 'metric') return 'The metric by its name and selector';
  if (field !== 'status') return '';
  const kind = type.replace(/^[A-Za-z]*?V\d+(?=[A-Z])/, '');
  if (/Review$|Request$/.test(kind)) return "Status is the server's answer to the request.";
  const what = kind.replace(/[a-z](?=[A-Z])/g, '$& ').toLowerCase();
  const stale = kind === 'Pod' ? ' This data may not be up to date.' : '';
  return `Most recently observed status of the ${what}.${stale} Populated by the system. Read-only. More info: ${conventions}#spec-and-status`;
}
