import { type ApiObject, type KindDeclaration, yamlText } from '@wherry/api';
import type { Core } from '../pipeline/core.ts';
import type { Listing } from '../pipeline/read.ts';
import type { Target } from '../pipeline/request.ts';
import { present } from '../pipeline/view.ts';
import { groupVersionOf } from '../registry/catalog.ts';
import type { StoredObject } from '../registry/stored-object.ts';
import { type Body, type Request, type Response, send } from './exchange.ts';
import type { Form } from './negotiation.ts';
import { type IncludeObject, partialMetadata, table } from './table.ts';

const comma = Buffer.from(',');
const closing = Buffer.from(']}\n');

/** One object in the form asked for. */
export function encodeObject(
  core: Core,
  kind: KindDeclaration,
  stored: StoredObject,
  form: Form,
  include: IncludeObject,
): Buffer {
  const shown = present(kind, stored);
  switch (form.shape) {
    case 'Table': {
      const { resourceVersion } = shown.object.metadata ?? {};
      const metadata = resourceVersion === undefined ? {} : { resourceVersion };
      return jsonLine(table(kind, [shown.object], metadata, { include, now: core.clock.now(), headers: true }));
    }
    case 'PartialObjectMetadata':
      return jsonLine(partialMetadata(shown.object));
    default:
      return shown.bytes;
  }
}

/** A list in the form asked for; plain lists are the stored bytes joined. */
export function encodeList(core: Core, target: Target, listing: Listing, form: Form, include: IncludeObject): Body {
  const { kind } = target;
  const metadata = {
    resourceVersion: String(listing.revision),
    ...(listing.continue === undefined ? {} : { continue: listing.continue }),
    ...(listing.remaining === undefined ? {} : { remainingItemCount: listing.remaining }),
  };
  const objects = (): ApiObject[] => listing.items.map((item) => present(kind, item).object);
  switch (form.shape) {
    case 'Table':
      return jsonLine(table(kind, objects(), metadata, { include, now: core.clock.now(), headers: true }));
    case 'PartialObjectMetadata':
    case 'PartialObjectMetadataList':
      return jsonLine({
        kind: 'PartialObjectMetadataList',
        apiVersion: 'meta.k8s.io/v1',
        metadata,
        items: objects().map(partialMetadata),
      });
    default: {
      const head = `{"kind":"${kind.kind}List","apiVersion":"${groupVersionOf(kind)}","metadata":${JSON.stringify(metadata)},"items":[`;
      if (listing.range === undefined || kind.view !== undefined) return joined(kind, head, listing.items);
      const cache = core.registry.cacheOf(kind);
      // The head tells the global revision, which moves without this resource: only the items are kept.
      const items = cache.joined(listing.range, () => joined(kind, '', listing.items));
      return [Buffer.from(head), items];
    }
  }
}

function joined(kind: KindDeclaration, head: string, items: readonly StoredObject[]): Buffer {
  const parts: Buffer[] = [Buffer.from(head)];
  for (let index = 0; index < items.length; index++) {
    if (index > 0) parts.push(comma);
    parts.push(present(kind, items[index]!).bytes);
  }
  parts.push(closing);
  return Buffer.concat(parts);
}

export function jsonLine(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

/** Sends what was encoded as JSON in the media type asked for. */
export function sendForm(
  request: Request,
  response: Response,
  code: number,
  body: Body,
  form: Form,
  warnings?: readonly string[],
): void {
  if (form.type === 'json') {
    send(request, response, code, body, 'application/json', warnings);
    return;
  }
  const bytes = Buffer.isBuffer(body) ? body : Buffer.concat(body);
  const text = yamlText(JSON.parse(bytes.toString()));
  send(request, response, code, Buffer.from(text), 'application/yaml', warnings);
}
