import type { V1Container, V1ContainerPort, V1EphemeralContainer, V1PodSpec } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { checkChoice, checkName, checkOptionalChoice, checkRange, checkRequiredName } from '../shared/checks.ts';
import { dnsLabelProblems, ipAddressProblems, portNameProblems } from '../shared/names.ts';
import { validateResourceRequirements } from '../shared/resources-validation.ts';
import { validateEnvironment, validateEnvironmentSources } from './validate-environment.ts';
import { validateLifecycle, validateProbe } from './validate-probes.ts';
import { validateSecurityContext } from './validate-security.ts';
import { type MountContext, validateVolumeDevices, validateVolumeMounts } from './validate-volumes.ts';

const restartPolicies = ['Always', 'Never', 'OnFailure'];

function validatePorts(ports: readonly V1ContainerPort[] | undefined, spec: V1PodSpec, path: string): FieldError[] {
  const names = new Set<string>();
  return (ports ?? []).flatMap((port, index) => {
    const at = `${path}[${index}]`;
    const errors: FieldError[] = [];
    if (port.name) {
      const problems = checkName(port.name, portNameProblems, `${at}.name`);
      errors.push(...problems);
      if (problems.length === 0 && names.has(port.name)) errors.push(field.duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    if (!port.containerPort) errors.push(field.required(`${at}.containerPort`));
    else errors.push(...checkRange(port.containerPort, 1, 65535, `${at}.containerPort`));
    if (port.hostPort) {
      errors.push(...checkRange(port.hostPort, 1, 65535, `${at}.hostPort`));
      if (spec.hostNetwork && port.hostPort !== port.containerPort) {
        const words = 'must match `hostPort` when `hostNetwork` is true';
        errors.push(field.invalid(`${at}.containerPort`, port.containerPort, words));
      }
    }
    errors.push(...checkChoice(port.protocol, ['SCTP', 'TCP', 'UDP'], `${at}.protocol`));
    if (port.hostIP) errors.push(...checkName(port.hostIP, ipAddressProblems, `${at}.hostIP`));
    return errors;
  });
}

function mountContext(container: V1Container, spec: V1PodSpec): MountContext {
  return {
    volumes: new Map((spec.volumes ?? []).map((volume) => [volume.name, volume])),
    privileged: container.securityContext?.privileged ?? false,
  };
}

function validateImage(image: string | undefined, path: string): FieldError[] {
  if (!image) return [field.required(path)];
  return image.trim() === image ? [] : [field.invalid(path, image, 'must not have leading or trailing whitespace')];
}

/** What init, ordinary and ephemeral containers have in common. */
function validateContainer(container: V1Container, spec: V1PodSpec, path: string): FieldError[] {
  const mounts = mountContext(container, spec);
  const claims = new Set((spec.resourceClaims ?? []).map((claim) => claim.name));
  const pullPolicies = ['Always', 'IfNotPresent', 'Never'];
  return [
    ...checkRequiredName(container.name, dnsLabelProblems, `${path}.name`),
    ...validateImage(container.image, `${path}.image`),
    ...checkOptionalChoice(
      container.terminationMessagePolicy,
      ['FallbackToLogsOnError', 'File'],
      `${path}.terminationMessagePolicy`,
    ),
    ...validatePorts(container.ports, spec, `${path}.ports`),
    ...validateEnvironment(container.env, `${path}.env`),
    ...validateEnvironmentSources(container.envFrom, `${path}.envFrom`),
    ...validateVolumeMounts(container.volumeMounts, mounts, `${path}.volumeMounts`),
    ...validateVolumeDevices(container.volumeDevices, mounts, `${path}.volumeDevices`),
    ...checkChoice(container.imagePullPolicy, pullPolicies, `${path}.imagePullPolicy`),
    ...validateResourceRequirements(container.resources, `${path}.resources`, claims),
    ...validateSecurityContext(container.securityContext, spec.hostUsers ?? true, `${path}.securityContext`),
    ...validateRestartRules(container, path),
  ];
}

function validateRestartRules(container: V1Container, path: string): FieldError[] {
  const rules = container.restartPolicyRules ?? [];
  if (rules.length === 0) return [];
  if (!container.restartPolicy) {
    return [field.required(`${path}.restartPolicy`, 'must specify restartPolicy when restart rules are used')];
  }
  if (rules.length > 20) return [field.tooMany(`${path}.restartPolicyRules`, rules.length, 20)];
  return rules.flatMap((rule, index) => {
    const at = `${path}.restartPolicyRules[${index}]`;
    const errors = checkOptionalChoice(rule.action, ['Restart', 'RestartAllContainers'], `${at}.action`);
    if (!rule.exitCodes) errors.push(field.required(`${at}.exitCodes`, 'must be specified'));
    else errors.push(...checkOptionalChoice(rule.exitCodes.operator, ['In', 'NotIn'], `${at}.exitCodes.operator`));
    return errors;
  });
}

function validateProbes(container: V1Container, graceSeconds: number, path: string): FieldError[] {
  return [
    ...validateLifecycle(container.lifecycle, graceSeconds, `${path}.lifecycle`),
    ...validateProbe(container.livenessProbe, 'liveness', `${path}.livenessProbe`),
    ...validateProbe(container.readinessProbe, 'readiness', `${path}.readinessProbe`),
    ...validateProbe(container.startupProbe, 'startup', `${path}.startupProbe`),
  ];
}

/** Host ports of all containers that run at the same time must differ. */
function validateHostPorts(containers: readonly V1Container[], path: string): FieldError[] {
  const used = new Set<string>();
  return containers.flatMap((container, index) =>
    (container.ports ?? []).flatMap((port, portIndex) => {
      if (!port.hostPort) return [];
      const text = `${port.protocol}/${port.hostIP ?? ''}/${port.hostPort}`;
      if (used.has(text)) return [field.duplicate(`${path}[${index}].ports[${portIndex}].hostPort`, text)];
      used.add(text);
      return [];
    }),
  );
}

/** `spec.containers`. */
export function validateContainers(spec: V1PodSpec, path: string): FieldError[] {
  const containers = spec.containers ?? [];
  if (containers.length === 0) return [field.required(path)];
  const names = new Set<string>();
  const grace = spec.terminationGracePeriodSeconds ?? 30;
  const errors = containers.flatMap((container, index) => {
    const at = `${path}[${index}]`;
    const found = validateContainer(container, spec, at);
    if (container.name && names.has(container.name)) found.push(field.duplicate(`${at}.name`, container.name));
    names.add(container.name);
    found.push(...validateProbes(container, grace, at));
    found.push(...checkOptionalChoice(container.restartPolicy, restartPolicies, `${at}.restartPolicy`));
    return found;
  });
  return [...errors, ...validateHostPorts(containers, path)];
}

/** `spec.initContainers`; only those that go on running (sidecars) may have probes and hooks. */
export function validateInitContainers(spec: V1PodSpec, path: string): FieldError[] {
  const names = new Set((spec.containers ?? []).map((container) => container.name));
  const grace = spec.terminationGracePeriodSeconds ?? 30;
  return (spec.initContainers ?? []).flatMap((container, index) => {
    const at = `${path}[${index}]`;
    const errors = validateContainer(container, spec, at);
    if (container.name && names.has(container.name)) errors.push(field.duplicate(`${at}.name`, container.name));
    names.add(container.name);
    errors.push(...checkOptionalChoice(container.restartPolicy, restartPolicies, `${at}.restartPolicy`));
    if (container.restartPolicy === 'Always') return [...errors, ...validateProbes(container, grace, at)];
    for (const name of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
      if (container[name] !== undefined) {
        const words = 'may not be set for init containers without restartPolicy=Always';
        errors.push(field.forbidden(`${at}.${name}`, words));
      }
    }
    return [...errors, ...validateHostPorts([container], path)];
  });
}

const notEphemeral = [
  'ports',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
  'resizePolicy',
  'restartPolicy',
] as const;

/** `spec.ephemeralContainers` (debugging); they may not ask for what only planned containers can have. */
export function validateEphemeralContainers(spec: V1PodSpec, path: string): FieldError[] {
  const others = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map((container) => container.name);
  const names = new Set(others);
  return (spec.ephemeralContainers ?? []).flatMap((container: V1EphemeralContainer, index) => {
    const at = `${path}[${index}]`;
    const errors = validateContainer(container, spec, at);
    if (container.name && names.has(container.name)) errors.push(field.duplicate(`${at}.name`, container.name));
    names.add(container.name);
    if (container.targetContainerName && !others.includes(container.targetContainerName)) {
      errors.push(field.notFound(`${at}.targetContainerName`, container.targetContainerName));
    }
    for (const name of notEphemeral) {
      const value = container[name];
      if (value !== undefined && !(Array.isArray(value) && value.length === 0)) {
        errors.push(field.forbidden(`${at}.${name}`, 'cannot be set for an Ephemeral Container'));
      }
    }
    if (container.resources && Object.keys(container.resources).length > 0) {
      errors.push(field.forbidden(`${at}.resources`, 'cannot be set for an Ephemeral Container'));
    }
    (container.volumeMounts ?? []).forEach((mount, mountIndex) => {
      if (mount.subPath) {
        errors.push(
          field.forbidden(`${at}.volumeMounts[${mountIndex}].subPath`, 'cannot be set for an Ephemeral Container'),
        );
      }
    });
    return errors;
  });
}
