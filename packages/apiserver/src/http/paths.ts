import { statusError } from '@wherry/api';
import type { TokenIssuer } from '../auth/contract.ts';
import type { VersionInfo } from '../options.ts';
import { jsonLine } from './encode.ts';
import { type Request, type Response, send } from './exchange.ts';
import type { PathHandler } from './handler.ts';
import type { RequestMetrics } from './metrics.ts';
import type { Query } from './query.ts';

/** One check of `/healthz`, `/livez` and `/readyz`; `undefined` means that all is well. */
export interface HealthCheck {
  readonly name: string;
  /** Whether it counts for `/livez` as well. */
  readonly live: boolean;
  check(): string | undefined;
}

/** Serves documents about the API: discovery and OpenAPI. `undefined`: not one of its paths. */
export type Documents = (path: string, request: Request, response: Response) => Promise<number> | undefined;

export interface PathParts {
  readonly version: VersionInfo;
  readonly health: readonly HealthCheck[];
  readonly metrics: RequestMetrics;
  readonly measurements: () => Parameters<RequestMetrics['text']>[0];
  readonly issuer: TokenIssuer;
  readonly documents: Documents;
  /** What `/` lists beside the fixed paths. */
  readonly apiPaths: () => readonly string[];
}

const fixed = [
  '/.well-known/openid-configuration',
  '/healthz',
  '/livez',
  '/metrics',
  '/openapi/v2',
  '/openapi/v3',
  '/openid/v1/jwks',
  '/readyz',
  '/version',
];

/** The paths that belong to no resource. */
export function pathHandler(parts: PathParts): PathHandler {
  return (path, query, request, response) => {
    const json = (value: unknown): Promise<number> => {
      send(request, response, 200, jsonLine(value));
      return Promise.resolve(200);
    };
    switch (path) {
      case '/':
        return json({ paths: [...parts.apiPaths(), ...fixed].sort() });
      case '/version':
      case '/version/':
        return json(parts.version);
      case '/metrics':
        send(
          request,
          response,
          200,
          Buffer.from(parts.metrics.text(parts.measurements())),
          'text/plain; version=0.0.4; charset=utf-8',
        );
        return Promise.resolve(200);
      case '/openid/v1/jwks':
        return parts.issuer.jwks().then((keys) => {
          send(request, response, 200, jsonLine(keys), 'application/jwk-set+json');
          return 200;
        });
      case '/.well-known/openid-configuration':
        return json({
          issuer: parts.issuer.issuer,
          jwks_uri: `${parts.issuer.issuer}/openid/v1/jwks`,
          response_types_supported: ['id_token'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['ES256'],
        });
      default:
        return health(parts, path, query, request, response) ?? parts.documents(path, request, response);
    }
  };
}

function health(
  parts: PathParts,
  path: string,
  query: Query,
  request: Request,
  response: Response,
): Promise<number> | undefined {
  const [, endpoint, name, more] = path.split('/');
  if ((endpoint !== 'healthz' && endpoint !== 'livez' && endpoint !== 'readyz') || more !== undefined) return undefined;
  const checks = endpoint === 'livez' ? parts.health.filter((check) => check.live) : parts.health;
  const text = (code: number, body: string): Promise<number> => {
    send(request, response, code, Buffer.from(body), 'text/plain; charset=utf-8');
    return Promise.resolve(code);
  };
  if (name !== undefined && name !== '') {
    const one = checks.find((check) => check.name === name);
    if (one === undefined)
      throw statusError('notFound', 'the server could not find the requested resource', { details: {} });
    const problem = one.check();
    return problem === undefined ? text(200, 'ok') : text(500, `internal server error: ${problem}\n`);
  }
  const excluded = new Set(query.all('exclude'));
  let failed = false;
  const lines = checks.map((check) => {
    if (excluded.has(check.name)) return `[+]${check.name} excluded: ok`;
    const problem = check.check();
    if (problem === undefined) return `[+]${check.name} ok`;
    failed = true;
    return `[-]${check.name} failed: ${problem}`;
  });
  if (failed) return text(500, `${lines.join('\n')}\n${endpoint} check failed\n`);
  return text(200, query.has('verbose') ? `${lines.join('\n')}\n${endpoint} check passed\n` : 'ok');
}
