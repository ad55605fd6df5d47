import { type ApiObject, parseFieldSelector, statusError, type V1Status } from '@wherry/api';
import type { Attributes, Authorizer, UserInfo } from '../auth/contract.ts';

interface ResourceAsked {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

/** Lets a request on a resource pass or throws the 403 in upstream's words. */
export function authoriseResource(authorizer: Authorizer, user: UserInfo, verb: string, asked: ResourceAsked): void {
  const { group, version, resource, subresource, namespace, name } = asked;
  const attributes: Attributes = {
    user,
    verb,
    resourceRequest: true,
    group,
    version,
    resource,
    subresource,
    namespace,
    name,
  };
  const verdict = authorizer.authorize(attributes);
  if (!verdict.allowed) throw forbidden(user, verb, asked, verdict.reason);
}

/**
 * The name that a list or watch is authorised for: that of the one object to which a field selector on
 * `metadata.name` limits it (apiserver `RequestInfo`), so that whoever may get an object may follow it.
 */
export function selectedName(fieldSelector: string): string {
  if (!fieldSelector.includes('metadata.name')) return '';
  try {
    return parseFieldSelector(fieldSelector).required('metadata.name') ?? '';
  } catch {
    return ''; // a selector that does not parse is refused later, in its own words
  }
}

/** Lets a request on another path pass or throws the 403. */
export function authorisePath(authorizer: Authorizer, user: UserInfo, verb: string, path: string): void {
  const verdict = authorizer.authorize({ user, verb, resourceRequest: false, path });
  if (verdict.allowed) return;
  throw statusError(
    'forbidden',
    `forbidden: User ${JSON.stringify(user.username)} cannot ${verb} path ${JSON.stringify(path)}${because(verdict.reason)}`,
    {
      details: {},
    },
  );
}

function forbidden(user: UserInfo, verb: string, asked: ResourceAsked, reason: string): Error {
  const { group, resource, subresource, namespace, name } = asked;
  const qualified = group === '' ? resource : `${resource}.${group}`;
  const whole = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`;
  const subject = name === '' ? qualified : `${qualified} ${JSON.stringify(name)}`;
  const details: V1Status['details'] = {
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { group }),
    kind: resource,
  };
  return statusError(
    'forbidden',
    `${subject} is forbidden: User ${JSON.stringify(user.username)} cannot ${verb} resource ${JSON.stringify(whole)} in API group ${JSON.stringify(group)} ${where}${because(reason)}`,
    { details },
  );
}

function because(reason: string): string {
  return reason === '' ? '' : `: ${reason}`;
}

/** The failure of a request without valid credentials. */
export function unauthorised(): Error {
  return statusError('unauthorized', 'Unauthorized');
}

/** A user as `status.userInfo` of a review shows it. */
export function userObject(user: UserInfo): ApiObject {
  return {
    username: user.username,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: [...user.groups],
    ...(user.extra === undefined ? {} : { extra: user.extra }),
  };
}
