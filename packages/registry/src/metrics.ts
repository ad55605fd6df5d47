import { Counter, Gauge, Histogram, Registry as MetricsRegistry } from 'prom-client';
import type { Exchange } from './protocol/exchange.ts';
import type { Contents } from './storage/contents.ts';
import type { CollectReport } from './storage/garbage.ts';

/** What Prometheus reads: names of repositories and users are not in it, so that anybody may. */
export class Metrics {
  readonly #registry = new MetricsRegistry();
  readonly #requests = this.#counter('requests_total', 'Requests answered.', ['method', 'route', 'code']);
  readonly #sent = this.#counter('sent_bytes_total', 'Bytes of bodies sent.', ['route']);
  readonly #received = this.#counter('received_bytes_total', 'Bytes of bodies received.', ['route']);
  readonly #collected = this.#counter('collected_bytes_total', 'Bytes that garbage collection freed.');
  readonly #collections = this.#counter('collections_total', 'Garbage collections.');
  readonly #inFlight = new Gauge({
    name: 'wherry_registry_requests_in_flight',
    help: 'Requests being answered.',
    registers: [this.#registry],
  });
  readonly #seconds = new Histogram({
    name: 'wherry_registry_request_seconds',
    help: 'Time until an answer was complete.',
    labelNames: ['method', 'route'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60],
    registers: [this.#registry],
  });

  constructor(contents: Contents) {
    const gauge = (name: string, help: string, value: () => number): void => {
      const registers = [this.#registry];
      new Gauge({
        name: `wherry_registry_${name}`,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    };
    gauge('repositories', 'Repositories.', () => contents.repositories.names().length);
    gauge('uploads', 'Uploads under way or waiting to be gone on with.', () => contents.uploads.count);
  }

  began(): void {
    this.#inFlight.inc();
  }

  ended({ method, route, response, bytesSent, bytesReceived }: Exchange, seconds: number): void {
    this.#inFlight.dec();
    const known = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method) ? method : 'other';
    this.#requests.inc({ method: known, route, code: String(response.statusCode) });
    this.#seconds.observe({ method: known, route }, seconds);
    this.#sent.inc({ route }, bytesSent);
    this.#received.inc({ route }, bytesReceived);
  }

  collected(report: CollectReport): void {
    this.#collections.inc();
    this.#collected.inc(report.bytes);
  }

  async answer(exchange: Exchange): Promise<void> {
    exchange.route = 'metrics';
    exchange.send(200, { 'Content-Type': this.#registry.contentType }, await this.#registry.metrics());
  }

  #counter(name: string, help: string, labelNames: string[] = []): Counter {
    return new Counter({ name: `wherry_registry_${name}`, help, labelNames, registers: [this.#registry] });
  }
}
