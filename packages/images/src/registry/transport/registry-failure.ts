import { type ErrorCode, messageOf, parseGoJson, WherryError } from '@wherry/base';
import { familiarReference, familiarRepository, type Reference } from '@wherry/oci';
import { type Challenge, parseChallenge } from './challenge.ts';
import { type RegistryResponse, readBody, verbOf } from './request.ts';

/** Whose words errors have: those of dockerd to its clients, those of containerd to the kubelet's. */
export type Dialect = 'docker' | 'containerd';

const largestError = 64 * 1024;

interface Refused {
  readonly response: RegistryResponse;
  readonly method: string;
  readonly url: URL;
  readonly reference: Reference;
  /** Whether credentials were sent. */
  readonly isAuthorized: boolean;
}

/** The error that an answer means. Reads its body. */
export async function failureOf(refused: Refused, dialect: Dialect): Promise<WherryError> {
  if (dialect === 'docker') return await dockerFailure(refused);
  refused.response.body.resume();
  return containerdFailure(refused);
}

function containerdFailure({ response, url, method, reference }: Refused): WherryError {
  const { status } = response;
  const { host, path: repository, tag, digest } = reference;
  const name = `${host}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
  if (status === 404) return new WherryError('notFound', `${name}: not found`);
  if (status === 401 || status === 403) {
    const words = 'pull access denied, repository does not exist or may require authorization';
    return new WherryError(
      'unauthorized',
      `${words}: authorization failed: ${status === 401 ? 'no basic auth credentials' : '403 Forbidden'}`,
    );
  }
  return unexpected(method, url, response);
}

/** By the error codes of distribution-spec, "Error Codes", as dockerd's client of registries tells of them. */
async function dockerFailure({ response, method, url, reference, isAuthorized }: Refused): Promise<WherryError> {
  const { status } = response;
  const challenge = parseChallenge(String(response.headers['www-authenticate'] ?? ''));
  const body = await readBody(response, largestError).catch(() => Buffer.alloc(0));
  if (status === 401 && challenge?.scheme === 'basic' && !isAuthorized) {
    const refused = `${verbOf(method)} ${JSON.stringify(url.href)}: no basic auth credentials`;
    return new WherryError('unauthorized', refused, { details: { reason: 'no basic auth credentials' } });
  }
  const told = toldBy(challenge) ?? toldIn(response, body);
  if (typeof told === 'string') return new WherryError(status >= 500 ? 'unavailable' : 'invalid', told);
  const words = wordsOf(told);
  if ((method === 'GET' || method === 'HEAD') && told.message !== undefined) {
    const name = familiarRepository(reference);
    if (told.code === 'MANIFEST_UNKNOWN') {
      return new WherryError('notFound', `manifest for ${familiarReference(reference)} not found: ${words}`);
    }
    if (told.code === 'NAME_UNKNOWN') return new WherryError('notFound', `repository ${name} not found: ${words}`);
    if (told.code === 'DENIED') {
      const denied = `pull access denied for ${name}, repository does not exist or may require 'docker login'`;
      return new WherryError('notFound', `${denied}: ${words}`);
    }
  }
  return new WherryError(codes[told.code] ?? 'invalid', words);
}

/** As dockerd words that a server of tokens refuses: its answer, read. */
export function tokenRefusal(response: RegistryResponse, body: Buffer): string {
  const told = toldIn(response, body);
  return typeof told === 'string' ? told : wordsOf(told);
}

const codes: Readonly<Record<string, ErrorCode>> = {
  UNAUTHORIZED: 'unauthorized',
  DENIED: 'unauthorized',
  TOOMANYREQUESTS: 'unavailable',
  UNAVAILABLE: 'unavailable',
  BLOB_UNKNOWN: 'notFound',
  MANIFEST_UNKNOWN: 'notFound',
};

/** What goes without saying: an error of this message and no details is told of by its code alone. */
const usualMessages: Readonly<Record<string, string>> = {
  UNKNOWN: 'unknown error',
  UNSUPPORTED: 'The operation is unsupported.',
  UNAUTHORIZED: 'authentication required',
  DENIED: 'requested access to the resource is denied',
  UNAVAILABLE: 'service unavailable',
  TOOMANYREQUESTS: 'too many requests',
  DIGEST_INVALID: 'provided digest did not match uploaded content',
  SIZE_INVALID: 'provided length did not match content length',
  RANGE_INVALID: 'invalid content range',
  NAME_INVALID: 'invalid repository name',
  TAG_INVALID: 'manifest tag did not match URI',
  NAME_UNKNOWN: 'repository name not known to registry',
  MANIFEST_UNKNOWN: 'manifest unknown',
  MANIFEST_INVALID: 'manifest invalid',
  MANIFEST_UNVERIFIED: 'manifest failed signature verification',
  MANIFEST_BLOB_UNKNOWN: 'blob unknown to registry',
  BLOB_UNKNOWN: 'blob unknown to registry',
  BLOB_UPLOAD_UNKNOWN: 'blob upload unknown to registry',
  BLOB_UPLOAD_INVALID: 'blob upload invalid',
  PAGINATION_NUMBER_INVALID: 'invalid number of results requested',
};

interface RegistryError {
  readonly code: string;
  /** Missing where it goes without saying. */
  readonly message?: string;
}

function wordsOf({ code, message }: RegistryError): string {
  const name = code.toLowerCase().replaceAll('_', ' ');
  return message === undefined ? name : `${name}: ${message}`;
}

/** What a challenge says of a token that was sent (RFC 6750, 3.1). */
function toldBy(challenge: Challenge | undefined): RegistryError | undefined {
  if (challenge?.scheme !== 'bearer') return undefined;
  const error = challenge.parameters.get('error');
  const code = error === 'invalid_token' ? 'UNAUTHORIZED' : error === 'insufficient_scope' ? 'DENIED' : undefined;
  if (code === undefined) return undefined;
  return { code, message: challenge.parameters.get('error_description') || usualMessages[code]! };
}

/** What an answer says: the first of its errors, or words for an answer that has none. */
function toldIn({ status, headers, body: { statusMessage } }: RegistryResponse, body: Buffer): RegistryError | string {
  if (status < 400 || status >= 500) return `received unexpected HTTP status: ${status} ${statusMessage ?? ''}`.trim();
  const text = body.toString('utf8');
  const [type = ''] = (headers['content-type'] ?? '').toLowerCase().split(/\s*;/);
  if (type !== 'application/json' && type !== 'application/vnd.api+json') return told(status, text);
  const parsing = `error parsing HTTP ${status} response body`;
  let value: { details?: unknown; errors?: unknown } | null;
  try {
    value = parseGoJson(text, 'document') as typeof value;
  } catch (error) {
    return status === 401 ? { code: 'UNAUTHORIZED' } : `${parsing}: ${messageOf(error)}: ${JSON.stringify(text)}`;
  }
  if (typeof value?.details === 'string' && value.details !== '') return told(status, value.details);
  const [first] = Array.isArray(value?.errors) ? (value.errors as (Partial<Record<string, unknown>> | null)[]) : [];
  if (!first) {
    const none = `${parsing}: no error details found in HTTP response body: ${JSON.stringify(text)}`;
    return status === 401 ? { code: 'UNAUTHORIZED' } : none;
  }
  const code = typeof first.code === 'string' && Object.hasOwn(usualMessages, first.code) ? first.code : 'UNKNOWN';
  const message = typeof first.message === 'string' ? first.message.slice(0, 500) : '';
  const isUsual = (first.detail ?? null) === null && (message === '' || message === usualMessages[code]);
  return isUsual ? { code } : { code, message: message || usualMessages[code]! };
}

function told(status: number, text: string): RegistryError {
  const code =
    status === 401 ? 'UNAUTHORIZED' : status === 403 ? 'DENIED' : status === 429 ? 'TOOMANYREQUESTS' : 'UNKNOWN';
  return { code, message: text.slice(0, 500) };
}

function unexpected(method: string, url: URL, response: RegistryResponse): WherryError {
  const { status } = response;
  const text = `unexpected status from ${method} request to ${url.href}: ${status} ${response.body.statusMessage ?? ''}`;
  return new WherryError(status >= 500 || status === 429 || status === 416 ? 'unavailable' : 'invalid', text.trim());
}
