import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Digest, digestOf, mediaTypes } from '@wherry/oci';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

/** The digests of an image's parts. */
export interface AddedImage {
  readonly id: Digest;
  readonly manifest: Digest;
  readonly layers: readonly Digest[];
}

/** A registry's pull side on loopback, with faults to order. */
export class TestRegistry implements AsyncDisposable {
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, { readonly content: Buffer; readonly mediaType: string }>();
  readonly requests: SeenRequest[] = [];
  /** Takes a request over by answering it and giving true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  readonly #server = createServer((request, response) => this.#serve(request, response));

  static async start(): Promise<TestRegistry> {
    const registry = new TestRegistry();
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  addBlob(content: Buffer): { digest: Digest; size: number } {
    const digest = digestOf(content);
    this.blobs.set(digest, content);
    return { digest, size: content.length };
  }

  /** Adds a manifest or index, by digest and under tags. */
  addManifest(
    value: object,
    mediaType: string,
    ...tags: string[]
  ): { digest: Digest; size: number; mediaType: string } {
    const content = Buffer.from(JSON.stringify(value));
    const digest = digestOf(content);
    for (const name of [digest, ...tags]) this.manifests.set(name, { content, mediaType });
    return { digest, size: content.length, mediaType };
  }

  /** Adds an image of layers as they are sent; `diffId` is what the config says of each. */
  addImage(
    tag: string,
    layers: readonly { readonly blob: Buffer; readonly diffId: Digest }[],
    architecture = 'amd64',
  ): AddedImage {
    const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) };
    const config = this.addBlob(Buffer.from(JSON.stringify({ os: 'linux', architecture, rootfs })));
    const descriptors = layers.map(({ blob }) => ({ ...this.addBlob(blob), mediaType: mediaTypes.ociLayerGzip }));
    const value = {
      ...{ schemaVersion: 2, mediaType: mediaTypes.ociManifest },
      config: { ...config, mediaType: mediaTypes.ociConfig },
      layers: descriptors,
    };
    const manifest = this.addManifest(value, mediaTypes.ociManifest, tag);
    return { id: config.digest, manifest: manifest.digest, layers: descriptors.map(({ digest }) => digest) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    const { authorization, range } = request.headers;
    this.requests.push({ method: request.method ?? '', path, authorization, range });
    if (this.intercept(request, response)) return;
    const [, kind, name] = /^\/v2\/[a-z/]+\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? [];
    const manifest = kind === 'manifests' ? this.manifests.get(name!) : undefined;
    const content = manifest?.content ?? (kind === 'blobs' ? this.blobs.get(name!) : undefined);
    if (content === undefined) {
      response.writeHead(404).end('{"errors":[]}');
      return;
    }
    const start = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    const part = content.subarray(start);
    response.writeHead(start > 0 ? 206 : 200, {
      'Content-Type': manifest?.mediaType ?? 'application/octet-stream',
      'Content-Length': part.length,
      'Docker-Content-Digest': digestOf(content),
      ...(start > 0 && { 'Content-Range': `bytes ${start}-${content.length - 1}/${content.length}` }),
    });
    response.end(request.method === 'HEAD' ? undefined : part);
  }
}
