import { messageOf } from '@wherry/base';
import type { Authentication } from './auth/authentication.ts';
import { type TokenService, tokenPath } from './auth/token-service.ts';
import type { RegistryContext } from './context.ts';
import type { Metrics } from './metrics.ts';
import { answerCatalogue, isCataloguePath } from './page/catalogue.ts';
import { dispatch } from './protocol/dispatch.ts';
import { type Exchange, methodNotAllowed } from './protocol/exchange.ts';
import { refusal, refusalOf } from './refusal.ts';

/** Answers every request of a registry's ports, and reports on it. */
export class RequestHandler {
  readonly #context: RegistryContext;
  readonly #auth: Authentication;
  readonly #tokens: TokenService | undefined;
  readonly #metrics: Metrics;

  constructor(context: RegistryContext, auth: Authentication, tokens: TokenService | undefined, metrics: Metrics) {
    this.#context = context;
    this.#auth = auth;
    this.#tokens = tokens;
    this.#metrics = metrics;
  }

  /** Never rejects; resolves when the answer has gone out. */
  async handle(exchange: Exchange): Promise<void> {
    const began = performance.now();
    this.#metrics.began();
    try {
      await this.#answer(exchange);
    } catch (error) {
      this.#logFailure(exchange, error);
      exchange.fail(error);
    }
    await exchange.closed;
    const ms = performance.now() - began;
    this.#metrics.ended(exchange, ms / 1000);
    this.#log(exchange, ms);
  }

  async #answer(exchange: Exchange): Promise<void> {
    const { path } = exchange;
    if (['/healthz', '/metrics'].includes(path) && !['GET', 'HEAD'].includes(exchange.method))
      throw methodNotAllowed(['GET', 'HEAD']);
    if (path === '/v2' || path.startsWith('/v2/')) await dispatch(this.#context, this.#auth, exchange);
    else if (path === '/healthz') exchange.send(200, { 'Content-Type': 'text/plain' }, 'ok\n');
    else if (path === '/metrics') await this.#metrics.answer(exchange);
    else if (path === tokenPath && this.#tokens) await this.#tokens.answer(exchange);
    else if (isCataloguePath(path)) await answerCatalogue(this.#context, this.#auth, exchange);
    else throw refusal('NAME_UNKNOWN', 'the registry has no such path');
  }

  #logFailure({ request, method, path }: Exchange, error: unknown): void {
    // A client that left has no answer to get.
    if (refusalOf(error).status < 500 || request.destroyed) return;
    this.#context.log.error('request failed', { method, path: path.slice(0, 500), error: messageOf(error) });
  }

  #log({ method, path, route, response, bytesSent, bytesReceived, identity, client }: Exchange, ms: number): void {
    if (route === 'metrics' || path === '/healthz') return;
    this.#context.log.info('request', {
      method,
      path: path.slice(0, 500),
      status: response.statusCode,
      ms: Math.round(ms),
      sent: bytesSent,
      received: bytesReceived,
      client,
      ...(identity.user && { user: identity.user }),
    });
  }
}
