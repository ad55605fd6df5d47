import { type ErrorCode, WherryError } from '@wherry/base';
import { familiarReference, familiarRepository, type Reference } from '@wherry/oci';
import { parseChallenge } from './challenge.ts';
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

/** By the error codes of distribution-spec, "Error Codes", as dockerd tells of them. */
async function dockerFailure({ response, method, url, reference, isAuthorized }: Refused): Promise<WherryError> {
  const { status } = response;
  const challenge = parseChallenge(String(response.headers['www-authenticate'] ?? ''));
  const [error] = errorsOf(await readBody(response, largestError).catch(() => Buffer.alloc(0)));
  if (status === 401 && challenge?.scheme === 'basic' && !isAuthorized) {
    const refused = `${verbOf(method)} ${JSON.stringify(url.href)}: no basic auth credentials`;
    return new WherryError('unauthorized', refused, { details: { reason: 'no basic auth credentials' } });
  }
  const code = error?.code ?? codeOfStatus(status, url);
  if (code === undefined) return unexpected(method, url, response);
  const words = `${code.toLowerCase().replaceAll('_', ' ')}: ${error?.message || defaultMessages[code] || 'unknown error'}`;
  if (method === 'GET' || method === 'HEAD') {
    const name = familiarRepository(reference);
    if (code === 'MANIFEST_UNKNOWN') {
      return new WherryError('notFound', `manifest for ${familiarReference(reference)} not found: ${words}`);
    }
    if (code === 'NAME_UNKNOWN') return new WherryError('notFound', `repository ${name} not found: ${words}`);
    if (code === 'DENIED') {
      const denied = `pull access denied for ${name}, repository does not exist or may require 'docker login'`;
      return new WherryError('notFound', `${denied}: ${words}`);
    }
  }
  return new WherryError(codes[code] ?? (status >= 500 ? 'unavailable' : 'invalid'), words);
}

const codes: Readonly<Record<string, ErrorCode>> = {
  UNAUTHORIZED: 'unauthorized',
  DENIED: 'unauthorized',
  TOOMANYREQUESTS: 'unavailable',
  UNAVAILABLE: 'unavailable',
  BLOB_UNKNOWN: 'notFound',
  MANIFEST_UNKNOWN: 'notFound',
};

const defaultMessages: Readonly<Record<string, string>> = {
  UNAUTHORIZED: 'authentication required',
  DENIED: 'requested access to the resource is denied',
  MANIFEST_UNKNOWN: 'manifest unknown',
  BLOB_UNKNOWN: 'blob unknown to registry',
  TOOMANYREQUESTS: 'too many requests',
};

function codeOfStatus(status: number, url: URL): string | undefined {
  if (status === 401) return 'UNAUTHORIZED';
  if (status === 403) return 'DENIED';
  if (status === 429) return 'TOOMANYREQUESTS';
  if (status !== 404) return undefined;
  return url.pathname.includes('/manifests/') ? 'MANIFEST_UNKNOWN' : 'BLOB_UNKNOWN';
}

interface RegistryError {
  readonly code: string;
  readonly message: string;
}

function errorsOf(body: Buffer): RegistryError[] {
  try {
    const { errors } = JSON.parse(body.toString()) as { errors?: unknown };
    if (!Array.isArray(errors)) return [];
    return errors.flatMap((entry: { code?: unknown; message?: unknown } | null) => {
      if (typeof entry?.code !== 'string' || !/^[A-Z_]{1,64}$/.test(entry.code)) return [];
      return [{ code: entry.code, message: typeof entry.message === 'string' ? entry.message.slice(0, 500) : '' }];
    });
  } catch {
    return [];
  }
}

function unexpected(method: string, url: URL, response: RegistryResponse): WherryError {
  const { status } = response;
  const text = `unexpected status from ${method} request to ${url.href}: ${status} ${response.body.statusMessage ?? ''}`;
  return new WherryError(status >= 500 || status === 429 || status === 416 ? 'unavailable' : 'invalid', text.trim());
}
