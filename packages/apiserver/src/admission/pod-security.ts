import type { V1Namespace, V1Pod, V1PodTemplateSpec } from '@wherry/api';
import type { AdmissionPlugin, AdmissionReader, AdmissionRequest } from './contract.ts';
import { podSecurityViolations } from './pod-security-checks.ts';
import { isPod, refuse, resources } from './refuse.ts';

const prefix = 'pod-security.kubernetes.io/';

/** The level and version that a namespace asks for; versions before the newest are held to the newest. */
function policyOf(request: AdmissionRequest, mode: 'enforce' | 'warn', reader: AdmissionReader) {
  const namespace = reader.get(resources.namespaces, '', request.namespace) as V1Namespace | undefined;
  const labels = namespace?.metadata?.labels ?? {};
  const level = labels[`${prefix}${mode}`] ?? 'privileged';
  return { level, text: `${level}:${labels[`${prefix}${mode}-version`] ?? 'latest'}` };
}

/** `allowPrivilegeEscalation != false (container "c" must set …), …`, or nothing. */
function sentence(level: string, pod: V1Pod): string | undefined {
  const violations = podSecurityViolations(level, pod);
  if (violations.length === 0) return undefined;
  return violations.map(({ rule, detail }) => `${rule} (${detail})`).join(', ');
}

/** The pod that a workload would make; those only warn, the pods themselves are refused. */
function templateOf(request: AdmissionRequest): V1Pod | undefined {
  const spec = (request.object as { spec?: Record<string, unknown> } | undefined)?.spec;
  const jobTemplate = spec?.jobTemplate as { spec?: { template?: V1PodTemplateSpec } } | undefined;
  const template = (jobTemplate?.spec?.template ?? spec?.template) as V1PodTemplateSpec | undefined;
  return template?.spec ? (template as V1Pod) : undefined;
}

/** The Pod Security Standards, by the labels of namespaces. */
export const podSecurity: AdmissionPlugin = {
  name: 'PodSecurity',
  validate(request, reader) {
    if (!request.object || request.namespace === '' || request.subresource !== '') return;
    if (request.operation !== 'CREATE' && request.operation !== 'UPDATE') return;
    const pod = isPod(request, 'CREATE', 'UPDATE') ? (request.object as unknown as V1Pod) : undefined;
    if (pod) {
      const enforce = policyOf(request, 'enforce', reader);
      const why = sentence(enforce.level, pod);
      if (why !== undefined) throw refuse(request, `violates PodSecurity ${JSON.stringify(enforce.text)}: ${why}`);
    }
    const shown = pod ?? templateOf(request);
    if (!shown || !request.warn) return;
    const warn = policyOf(request, 'warn', reader);
    const why = sentence(warn.level, shown);
    if (why !== undefined) request.warn(`would violate PodSecurity ${JSON.stringify(warn.text)}: ${why}`);
  },
};
