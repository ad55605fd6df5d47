import { type ApiObject, badRequestError, field, invalidError } from '@wherry/api';
import type { Attributes, Authenticator, Authorizer, UserInfo } from '../auth/contract.ts';
import type { RequestOptions, Target } from '../pipeline/request.ts';
import { userObject } from '../request/authorise.ts';
import type { Creator, SubresourceAnswer } from './subresources.ts';

interface AccessSpec {
  resourceAttributes?: Partial<
    Record<'group' | 'version' | 'resource' | 'subresource' | 'namespace' | 'name' | 'verb', string>
  >;
  nonResourceAttributes?: { path?: string; verb?: string };
  user?: string;
  uid?: string;
  groups?: string[];
  extra?: Record<string, string[]>;
}

/** The kinds of authentication.k8s.io and authorization.k8s.io that only answer a question. */
export function reviewCreators(authenticator: Authenticator, authorizer: Authorizer): Map<string, Creator> {
  const access =
    (own: boolean, local: boolean): Creator =>
    async (target, body, options) =>
      reviewAccess(authorizer, target, body as ApiObject, options, own, local);
  return new Map<string, Creator>([
    ['authentication.k8s.io/tokenreviews', (target, body) => reviewToken(authenticator, target, body as ApiObject)],
    [
      'authentication.k8s.io/selfsubjectreviews',
      async (target, body, options) => answer(target, body as ApiObject, { userInfo: userObject(options.user) }),
    ],
    ['authorization.k8s.io/subjectaccessreviews', access(false, false)],
    ['authorization.k8s.io/localsubjectaccessreviews', access(false, true)],
    ['authorization.k8s.io/selfsubjectaccessreviews', access(true, false)],
    [
      'authorization.k8s.io/selfsubjectrulesreviews',
      async (target, body, options) => reviewRules(authorizer, target, body as ApiObject, options.user),
    ],
  ]);
}

function answer(target: Target, body: ApiObject, status: unknown): SubresourceAnswer {
  const { group, version, kind } = target.kind;
  return {
    code: 201,
    object: {
      kind,
      apiVersion: `${group}/${version}`,
      metadata: { ...(body.metadata ?? {}) },
      ...(body.spec === undefined ? {} : { spec: body.spec }),
      status,
    },
  };
}

async function reviewToken(authenticator: Authenticator, target: Target, body: ApiObject): Promise<SubresourceAnswer> {
  const { token, audiences } = (body.spec ?? {}) as { token?: string; audiences?: string[] };
  if (!token) throw badRequestError('token is required for TokenReview in authentication');
  const result = await authenticator.reviewToken(token, audiences);
  if ('error' in result) return answer(target, body, { user: {}, error: result.error });
  return answer(target, body, {
    authenticated: true,
    user: userObject(result.user),
    audiences: [...result.audiences],
  });
}

function reviewAccess(
  authorizer: Authorizer,
  target: Target,
  body: ApiObject,
  options: RequestOptions,
  own: boolean,
  local: boolean,
): SubresourceAnswer {
  const spec = (body.spec ?? {}) as AccessSpec;
  const { resourceAttributes: resource, nonResourceAttributes: path } = spec;
  const problems = [];
  if ((resource === undefined) === (path === undefined)) {
    const text = 'exactly one of nonResourceAttributes or resourceAttributes must be specified';
    problems.push(field.invalid('spec.resourceAttributes', resource, text));
  }
  if (!own && !spec.user && !spec.groups?.length) {
    problems.push(field.invalid('spec.user', spec.user ?? '', 'at least one of user or group must be specified'));
  }
  if (local && resource?.namespace !== target.namespace) {
    problems.push(
      field.invalid('spec.resourceAttributes.namespace', resource?.namespace ?? '', 'must match metadata.namespace'),
    );
  }
  if (problems.length > 0) throw invalidError(target.kind, '', problems);
  const user: UserInfo = own
    ? options.user
    : { username: spec.user ?? '', uid: spec.uid, groups: spec.groups ?? [], extra: spec.extra };
  const verdict = authorizer.authorize(attributesOf(user, spec));
  return answer(target, body, {
    allowed: verdict.allowed,
    ...(verdict.reason === '' ? {} : { reason: verdict.reason }),
  });
}

function attributesOf(
  user: UserInfo,
  { resourceAttributes: resource, nonResourceAttributes: other }: AccessSpec,
): Attributes {
  if (resource === undefined) {
    return { user, verb: other?.verb ?? '', resourceRequest: false, path: other?.path ?? '' };
  }
  return {
    user,
    verb: resource.verb ?? '',
    resourceRequest: true,
    group: resource.group ?? '',
    version: resource.version ?? '*',
    resource: resource.resource ?? '',
    subresource: resource.subresource ?? '',
    namespace: resource.namespace ?? '',
    name: resource.name ?? '',
  };
}

function reviewRules(authorizer: Authorizer, target: Target, body: ApiObject, user: UserInfo): SubresourceAnswer {
  const { namespace } = (body.spec ?? {}) as { namespace?: string };
  if (!namespace) throw badRequestError('no namespace on request');
  const rules = authorizer.rulesFor(user, namespace);
  return answer(target, body, { ...rules, incomplete: false });
}
