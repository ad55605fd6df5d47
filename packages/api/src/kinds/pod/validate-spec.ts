import type { V1PodSpec, V1PodTemplateSpec } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { checkChoice, checkName, checkRange } from '../shared/checks.ts';
import { validateAnnotations, validateLabels } from '../shared/metadata.ts';
import { dnsLabelProblems, dnsSubdomainProblems, ipAddressProblems, qualifiedNameProblems } from '../shared/names.ts';
import { validateResourceRequirements } from '../shared/resources-validation.ts';
import { validateContainers, validateEphemeralContainers, validateInitContainers } from './validate-containers.ts';
import { validateAffinity, validateSpread, validateTolerations } from './validate-scheduling.ts';
import { validatePodSecurityContext } from './validate-security.ts';
import { validateVolumes } from './validate-volumes.ts';

const dnsPolicies = ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'];

function validateDns(spec: V1PodSpec, path: string): FieldError[] {
  const errors = checkChoice(spec.dnsPolicy, dnsPolicies, `${path}.dnsPolicy`);
  const at = `${path}.dnsConfig`;
  const servers = spec.dnsConfig?.nameservers ?? [];
  if (spec.dnsPolicy === 'None') {
    const words = 'must provide `dnsConfig` when `dnsPolicy` is None';
    if (!spec.dnsConfig) return [...errors, field.required(at, words)];
    if (servers.length === 0) {
      const none = 'must provide at least one DNS nameserver when `dnsPolicy` is None';
      return [...errors, field.required(`${at}.nameservers`, none)];
    }
  }
  if (servers.length > 3) {
    errors.push(field.invalid(`${at}.nameservers`, servers, 'must not have more than 3 nameservers'));
  }
  servers.forEach((server, i) => {
    errors.push(...checkName(server, ipAddressProblems, `${at}.nameservers[${i}]`));
  });
  const searches = spec.dnsConfig?.searches ?? [];
  if (searches.length > 32) {
    errors.push(field.invalid(`${at}.searches`, searches, 'must not have more than 32 search paths'));
  }
  searches.forEach((search, i) => {
    const bare = search.length > 1 && search.endsWith('.') ? search.slice(0, -1) : search;
    if (bare !== '.')
      errors.push(...checkName(bare.replaceAll('_', '-'), dnsSubdomainProblems, `${at}.searches[${i}]`));
  });
  (spec.dnsConfig?.options ?? []).forEach((option, i) => {
    if (!option.name) errors.push(field.required(`${at}.options[${i}]`, 'must not be empty'));
  });
  return errors;
}

function validateNames(spec: V1PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const check = (name: 'hostname' | 'subdomain', rule: (value: string) => string[]) => {
    const value = spec[name];
    if (value) errors.push(...checkName(value, rule, `${path}.${name}`));
  };
  for (const name of ['serviceAccountName', 'nodeName', 'priorityClassName', 'runtimeClassName'] as const) {
    const value = spec[name];
    if (value) errors.push(...checkName(value, dnsSubdomainProblems, `${path}.${name}`));
  }
  check('hostname', dnsLabelProblems);
  check('subdomain', dnsLabelProblems);
  (spec.hostAliases ?? []).forEach((alias, i) => {
    errors.push(...checkName(alias.ip, ipAddressProblems, `${path}.hostAliases[${i}].ip`));
    for (const name of alias.hostnames ?? []) {
      errors.push(...checkName(name, dnsSubdomainProblems, `${path}.hostAliases[${i}].hostnames`));
    }
  });
  return errors;
}

function validateHostNamespaces(spec: V1PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.shareProcessNamespace && spec.hostPID) {
    const words = 'ShareProcessNamespace and HostPID cannot both be enabled';
    errors.push(field.invalid(`${path}.shareProcessNamespace`, true, words));
  }
  if (spec.hostUsers === false) {
    for (const name of ['hostNetwork', 'hostPID', 'hostIPC'] as const) {
      if (spec[name]) errors.push(field.forbidden(`${path}.${name}`, 'when `hostUsers` is false'));
    }
  }
  return errors;
}

function validateGates(spec: V1PodSpec, path: string): FieldError[] {
  const errors = (spec.readinessGates ?? []).flatMap((gate, i) =>
    checkName(gate.conditionType, qualifiedNameProblems, `${path}.readinessGates[${i}].conditionType`),
  );
  const seen = new Set<string>();
  (spec.schedulingGates ?? []).forEach((gate, i) => {
    const at = `${path}.schedulingGates[${i}]`;
    errors.push(...checkName(gate.name, qualifiedNameProblems, at));
    if (seen.has(gate.name)) errors.push(field.duplicate(at, gate.name));
    seen.add(gate.name);
  });
  if (seen.size > 0 && spec.nodeName) {
    errors.push(field.forbidden(`${path}.nodeName`, 'cannot be set until all schedulingGates have been cleared'));
  }
  return errors;
}

/** A whole pod spec at `path`, of a Pod or of a template. */
export function validatePodSpec(spec: V1PodSpec, path: string): FieldError[] {
  const policies = ['Always', 'OnFailure', 'Never'];
  const errors = [
    ...validateVolumes(spec.volumes, `${path}.volumes`),
    ...validateContainers(spec, `${path}.containers`),
    ...validateInitContainers(spec, `${path}.initContainers`),
    ...validateEphemeralContainers(spec, `${path}.ephemeralContainers`),
    ...validateResourceRequirements(spec.resources, `${path}.resources`),
    ...checkChoice(spec.restartPolicy, policies, `${path}.restartPolicy`),
    ...validateDns(spec, path),
    ...validateLabels(spec.nodeSelector, `${path}.nodeSelector`),
    ...validateHostNamespaces(spec, path),
    ...validatePodSecurityContext(spec.securityContext, `${path}.securityContext`),
    ...(spec.imagePullSecrets ?? []).flatMap((secret, i) =>
      secret.name ? [] : [field.required(`${path}.imagePullSecrets[${i}].name`)],
    ),
    ...validateAffinity(spec.affinity, `${path}.affinity`),
    ...validateNames(spec, path),
    ...validateGates(spec, path),
    ...validateSpread(spec.topologySpreadConstraints, `${path}.topologySpreadConstraints`),
    ...validateTolerations(spec.tolerations, `${path}.tolerations`),
    ...checkRange(spec.activeDeadlineSeconds, 1, 2 ** 31 - 1, `${path}.activeDeadlineSeconds`),
  ];
  if (spec.os) errors.push(...checkChoice(spec.os.name, ['linux', 'windows'], `${path}.os.name`));
  return errors;
}

/** A workload's template: metadata and spec, without ephemeral containers. */
export function validatePodTemplate(template: V1PodTemplateSpec, path: string): FieldError[] {
  const errors = [
    ...validateLabels(template.metadata?.labels, `${path}.labels`),
    ...validateAnnotations(template.metadata?.annotations, `${path}.annotations`),
    ...validatePodSpec(template.spec ?? { containers: [] }, `${path}.spec`),
  ];
  if ((template.spec?.ephemeralContainers ?? []).length > 0) {
    const words = 'ephemeral containers not allowed in pod template';
    errors.push(field.forbidden(`${path}.spec.ephemeralContainers`, words));
  }
  return errors;
}
