import type { V1Lifecycle, V1LifecycleHandler, V1Probe } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { checkChoice, checkNotNegative, checkPort, checkRange } from '../shared/checks.ts';

type Handler = V1LifecycleHandler & Pick<V1Probe, 'grpc'>;
type HandlerName = 'exec' | 'httpGet' | 'tcpSocket' | 'grpc' | 'sleep';

const headerName = /^[-A-Za-z0-9]+$/;

function validateOneHandler(name: HandlerName, handler: Handler, graceSeconds: number, at: string): FieldError[] {
  if (name === 'exec') return handler.exec?.command?.length ? [] : [field.required(`${at}.command`)];
  if (name === 'tcpSocket') return checkPort(handler.tcpSocket?.port, `${at}.port`);
  if (name === 'grpc') return checkRange(handler.grpc?.port ?? 0, 1, 65535, `${at}.port`);
  if (name === 'sleep') {
    const seconds = handler.sleep!.seconds;
    if (seconds >= 0 && seconds <= graceSeconds) return [];
    const words = `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds}).`;
    return [field.invalid(`${at}.seconds`, seconds, words)];
  }
  const http = handler.httpGet!;
  const errors: FieldError[] = [];
  if (!http.path) errors.push(field.required(`${at}.path`));
  errors.push(...checkPort(http.port, `${at}.port`));
  errors.push(...checkChoice(http.scheme, ['HTTP', 'HTTPS'], `${at}.scheme`));
  for (const header of http.httpHeaders ?? []) {
    if (!headerName.test(header.name)) {
      const words =
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
      errors.push(field.invalid(`${at}.httpHeaders`, header.name, words));
    }
  }
  return errors;
}

function validateHandler(
  handler: Handler,
  names: readonly HandlerName[],
  graceSeconds: number,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  let found = 0;
  for (const name of names) {
    if (handler[name] === undefined) continue;
    found += 1;
    if (found > 1) errors.push(field.forbidden(`${path}.${name}`, 'may not specify more than 1 handler type'));
    else errors.push(...validateOneHandler(name, handler, graceSeconds, `${path}.${name}`));
  }
  if (found === 0) errors.push(field.required(path, 'must specify a handler type'));
  return errors;
}

/** One probe; `kind` decides what it may say about successes and the grace period. */
export function validateProbe(
  probe: V1Probe | undefined,
  kind: 'liveness' | 'readiness' | 'startup',
  path: string,
): FieldError[] {
  if (!probe) return [];
  const errors = validateHandler(probe, ['exec', 'httpGet', 'tcpSocket', 'grpc'], 0, path);
  for (const name of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const) {
    errors.push(...checkNotNegative(probe[name], `${path}.${name}`));
  }
  if (probe.terminationGracePeriodSeconds !== undefined) {
    const at = `${path}.terminationGracePeriodSeconds`;
    if (kind === 'readiness') {
      errors.push(field.invalid(at, probe.terminationGracePeriodSeconds, 'must not be set for readinessProbes'));
    } else if (probe.terminationGracePeriodSeconds <= 0) {
      errors.push(field.invalid(at, probe.terminationGracePeriodSeconds, 'must be greater than 0'));
    }
  }
  if (kind !== 'readiness' && probe.successThreshold !== 1) {
    errors.push(field.invalid(`${path}.successThreshold`, probe.successThreshold, 'must be 1'));
  }
  return errors;
}

/** The hooks of a container. */
export function validateLifecycle(
  lifecycle: V1Lifecycle | undefined,
  graceSeconds: number,
  path: string,
): FieldError[] {
  if (!lifecycle) return [];
  const names: readonly HandlerName[] = ['exec', 'httpGet', 'tcpSocket', 'sleep'];
  return (['postStart', 'preStop'] as const).flatMap((name) => {
    const handler = lifecycle[name];
    return handler ? validateHandler(handler, names, graceSeconds, `${path}.${name}`) : [];
  });
}
