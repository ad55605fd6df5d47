import {
  type ApiObject,
  badRequestError,
  field,
  invalidError,
  notFoundError,
  type V1ServiceAccount,
} from '@wherry/api';
import type { TokenIssuer } from '../auth/contract.ts';
import type { Core } from '../pipeline/core.ts';
import { timestamp } from '../pipeline/metadata.ts';
import { getObject } from '../pipeline/read.ts';
import type { Target } from '../pipeline/request.ts';
import type { SubresourceAnswer } from './subresources.ts';

interface TokenRequest extends ApiObject {
  spec?: {
    audiences?: string[];
    expirationSeconds?: number;
    boundObjectRef?: { kind?: string; apiVersion?: string; name?: string; uid?: string };
  };
}

const shortest = 600;
const longest = 2 ** 32;
const usual = 3600;

/** `POST serviceaccounts/x/token` (authentication.k8s.io/v1 TokenRequest). */
export async function requestToken(
  core: Core,
  issuer: TokenIssuer,
  target: Target,
  body: unknown,
): Promise<SubresourceAnswer> {
  const request = body as TokenRequest;
  const account = getObject(core, { ...target, subresource: '' }).object as V1ServiceAccount;
  const spec = request.spec ?? {};
  const expirationSeconds = spec.expirationSeconds ?? usual;
  if (expirationSeconds < shortest || expirationSeconds > longest) {
    const detail =
      expirationSeconds < shortest
        ? 'may not specify a duration less than 10 minutes'
        : 'may not specify a duration larger than 2^32 seconds';
    throw invalidError({ group: 'authentication.k8s.io', kind: 'TokenRequest' }, target.name, [
      field.invalid('spec.expirationSeconds', expirationSeconds, detail),
    ]);
  }
  const bound = spec.boundObjectRef === undefined ? undefined : boundObject(core, target, account, spec.boundObjectRef);
  const issued = await issuer.issue({
    namespace: target.namespace,
    name: target.name,
    uid: account.metadata!.uid!,
    audiences: spec.audiences ?? [],
    expirationSeconds,
    ...(bound === undefined ? {} : { boundObject: bound }),
  });
  return {
    code: 201,
    object: {
      kind: 'TokenRequest',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: { name: target.name, namespace: target.namespace, creationTimestamp: timestamp(core.clock.now()) },
      spec: {
        audiences: spec.audiences?.length ? spec.audiences : [issuer.issuer],
        expirationSeconds,
        boundObjectRef: spec.boundObjectRef ?? null,
      },
      status: issued,
    },
  };
}

type Bound = NonNullable<Parameters<TokenIssuer['issue']>[0]['boundObject']>;

function boundObject(
  core: Core,
  target: Target,
  account: V1ServiceAccount,
  ref: NonNullable<NonNullable<TokenRequest['spec']>['boundObjectRef']>,
): Bound {
  const resources: Readonly<Record<string, string>> = { Pod: 'pods', Secret: 'secrets', Node: 'nodes' };
  const resource = resources[ref.kind ?? ''];
  const name = ref.name ?? '';
  if (resource === undefined || ref.apiVersion !== 'v1')
    throw badRequestError(
      `cannot bind token for serviceaccount ${JSON.stringify(account.metadata!.name)} to object of kind ${JSON.stringify(ref.kind ?? '')}`,
    );
  const found = core.reader.get({ group: '', resource }, resource === 'nodes' ? '' : target.namespace, name);
  if (found === undefined) throw notFoundError({ group: '', resource }, name);
  const uid = found.metadata!.uid!;
  if (ref.uid && ref.uid !== uid) {
    throw badRequestError(
      `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  const spec = found.spec as { serviceAccountName?: string; nodeName?: string } | undefined;
  if (resource === 'pods' && spec?.serviceAccountName !== target.name) {
    throw badRequestError(
      `cannot bind token for serviceaccount ${JSON.stringify(target.name)} to pod running with different serviceaccount name.`,
    );
  }
  const nodeName = resource === 'pods' ? spec?.nodeName : undefined;
  const nodeUid =
    nodeName === undefined ? undefined : core.reader.get({ group: '', resource: 'nodes' }, '', nodeName)?.metadata?.uid;
  return { kind: ref.kind!, apiVersion: 'v1', name, uid, nodeName, nodeUid };
}
