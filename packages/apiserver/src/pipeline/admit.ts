import type { ApiObject } from '@wherry/api';
import type { AdmissionRequest } from '../admission/contract.ts';
import type { Core } from './core.ts';
import type { RequestOptions, Target } from './request.ts';

/** What the plug-ins are told about one request. */
export function admissionRequest(
  operation: AdmissionRequest['operation'],
  target: Target,
  name: string,
  object: ApiObject | undefined,
  oldObject: ApiObject | undefined,
  options: RequestOptions,
): AdmissionRequest {
  return {
    operation,
    kind: target.kind,
    namespace: target.namespace,
    name,
    subresource: target.subresource,
    object,
    oldObject,
    user: options.user,
    dryRun: options.dryRun,
  };
}

/** Runs the mutating half of admission. */
export async function admit(core: Core, request: AdmissionRequest): Promise<void> {
  for (const plugin of core.admission) {
    const done = plugin.admit?.(request, core.reader);
    if (done !== undefined) await done;
  }
}

/** Runs the validating half. */
export async function validateAdmission(core: Core, request: AdmissionRequest): Promise<void> {
  for (const plugin of core.admission) {
    const done = plugin.validate?.(request, core.reader);
    if (done !== undefined) await done;
  }
}
