import type { ServerResponse } from 'node:http';
import { type KindDeclaration, statusOf } from '@wherry/api';
import type { Clock } from '@wherry/base';
import { present } from '../pipeline/view.ts';
import type { WatchSink, WatchType } from '../pipeline/watch.ts';
import { groupVersionOf } from '../registry/catalog.ts';
import type { CacheEvent } from '../registry/resource-cache.ts';
import type { StoredObject } from '../registry/stored-object.ts';
import type { Response } from './exchange.ts';
import type { Form } from './negotiation.ts';
import { type IncludeObject, partialMetadata, table } from './table.ts';

/** A watcher who leaves this much unread is cut off (bytes); its client starts again from where it was. */
const mostUnread = 16 * 1024 * 1024;

const heads: Record<WatchType, Buffer> = {
  ADDED: Buffer.from('{"type":"ADDED","object":'),
  MODIFIED: Buffer.from('{"type":"MODIFIED","object":'),
  DELETED: Buffer.from('{"type":"DELETED","object":'),
};
const tail = Buffer.from('}\n');

/** Writes the events of a watch to an HTTP response, one JSON object a line. */
export class WatchStream implements WatchSink {
  readonly #response: Response;
  readonly #kind: KindDeclaration;
  readonly #form: Form;
  readonly #include: IncludeObject;
  readonly #clock: Clock;
  #parts: Buffer[] = [];
  #size = 0;
  #headers = true;
  #ended = false;

  constructor(response: Response, kind: KindDeclaration, form: Form, include: IncludeObject, clock: Clock) {
    this.#response = response;
    this.#kind = kind;
    this.#form = form;
    this.#include = include;
    this.#clock = clock;
  }

  emit(type: WatchType, object: StoredObject, event: CacheEvent | undefined): void {
    if (this.#ended) return;
    this.#push(this.#encode(type, object, event));
  }

  #encode(type: WatchType, stored: StoredObject, event: CacheEvent | undefined): Buffer {
    if (this.#form.shape !== 'object') return this.#encodeShaped(type, stored);
    if (event === undefined || this.#kind.view !== undefined) {
      return Buffer.concat([heads[type], trimmed(present(this.#kind, stored).bytes), tail]);
    }
    event.shared ??= new Map();
    let line = event.shared.get(type);
    if (line === undefined) {
      line = Buffer.concat([heads[type], stored.bytes, tail]);
      event.shared.set(type, line);
    }
    return line;
  }

  #encodeShaped(type: WatchType, stored: StoredObject): Buffer {
    const shown = present(this.#kind, stored).object;
    if (this.#form.shape !== 'Table') return line(type, partialMetadata(shown));
    const headers = this.#headers;
    this.#headers = false;
    const metadata = { resourceVersion: shown.metadata!.resourceVersion! };
    return line(
      type,
      table(this.#kind, [shown], metadata, { include: this.#include, now: this.#clock.now(), headers }),
    );
  }

  bookmark(revision: number, initialEventsEnd: boolean): void {
    if (this.#ended) return;
    const metadata = {
      resourceVersion: String(revision),
      ...(initialEventsEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : { creationTimestamp: null }),
    };
    if (this.#form.shape === 'Table') {
      const options = { include: this.#include, now: this.#clock.now(), headers: this.#headers };
      this.#push(line('BOOKMARK', table(this.#kind, [], metadata, options)));
      return;
    }
    const partial = this.#form.shape === 'object' ? undefined : 'PartialObjectMetadata';
    this.#push(
      line('BOOKMARK', {
        kind: partial ?? this.#kind.kind,
        apiVersion: partial === undefined ? groupVersionOf(this.#kind) : 'meta.k8s.io/v1',
        metadata,
      }),
    );
  }

  #push(buffer: Buffer): void {
    this.#parts.push(buffer);
    this.#size += buffer.length;
  }

  flush(): void {
    if (this.#ended || this.#parts.length === 0) return;
    const body = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts, this.#size);
    this.#parts = [];
    this.#size = 0;
    (this.#response as ServerResponse).write(body);
    if (this.#response.writableLength > mostUnread) this.#cut();
  }

  #cut(): void {
    this.#ended = true;
    this.#response.destroy();
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    this.#push(line('ERROR', statusOf(error)));
    this.flush();
    this.end();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#response.end();
  }
}

function line(type: string, object: unknown): Buffer {
  return Buffer.from(`${JSON.stringify({ type, object })}\n`);
}

/** Encoded views end in no newline, but their encoder may change: an event is one line. */
function trimmed(bytes: Buffer): Buffer {
  return bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes;
}
