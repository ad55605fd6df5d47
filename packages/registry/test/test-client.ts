import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Descriptor, mediaTypes } from '@wherry/oci';
import { createRegistry, type Registry, type RegistryOptions } from '../src/index.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  json(): AnswerBody;
  /** The code of the first error. */
  readonly code: string | undefined;
}

/** The fields of all bodies that tests read. */
export interface AnswerBody {
  readonly errors: readonly { readonly code: string; readonly message: string; readonly detail?: unknown }[];
  readonly name: string;
  readonly tags: readonly string[];
  readonly repositories: readonly string[];
  readonly schemaVersion: number;
  readonly manifests: readonly Descriptor[];
  readonly token: string;
}

export interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string | undefined;
}

/** Sends requests as they are: no path is made nicer, nothing is followed. */
export class TestClient {
  port: number;
  headers: Readonly<Record<string, string>> = {};

  constructor(port: number) {
    this.port = port;
  }

  async send(method: string, path: string, { headers = {}, body }: Sent = {}): Promise<Answer> {
    const content = body === undefined ? undefined : Buffer.from(body);
    const isStream = headers['Transfer-Encoding'] !== undefined;
    return await new Promise((resolve, reject) => {
      const sent = request({
        host: '127.0.0.1',
        port: this.port,
        method,
        path,
        agent: false,
        headers: { ...this.headers, ...(content && !isStream && { 'Content-Length': content.length }), ...headers },
      });
      sent.on('error', reject);
      sent.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve(answerOf(response.statusCode!, response.headers, Buffer.concat(chunks))));
      });
      sent.end(content);
    });
  }

  get = (path: string, headers?: Record<string, string>) => this.send('GET', path, headers && { headers });
  head = (path: string) => this.send('HEAD', path);
  delete = (path: string) => this.send('DELETE', path);

  /** Pushes a blob in one request. */
  async pushBlob(name: string, content: Buffer | string): Promise<string> {
    const digest = sha256(content);
    const answer = await this.send('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, { body: content });
    if (answer.status !== 201) throw new Error(`push: ${answer.status} ${answer.body}`);
    return digest;
  }

  async pushManifest(name: string, reference: string, value: object | string, mediaType?: string): Promise<Answer> {
    const body = typeof value === 'string' ? value : JSON.stringify(value);
    const type = mediaType ?? (value as { mediaType?: string }).mediaType ?? mediaTypes.ociManifest;
    return await this.send('PUT', `/v2/${name}/manifests/${reference}`, { body, headers: { 'Content-Type': type } });
  }

  /** Pushes an image of one layer; gives its manifest and digests. */
  async pushImage(name: string, tag: string, layer: Buffer | string = 'layer'): Promise<PushedImage> {
    const config = JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } });
    const [configDigest, layerDigest] = [await this.pushBlob(name, config), await this.pushBlob(name, layer)];
    const manifest = imageManifest(
      { digest: configDigest, size: config.length },
      { digest: layerDigest, size: Buffer.byteLength(layer) },
    );
    const text = JSON.stringify(manifest);
    const answer = await this.pushManifest(name, tag, text, mediaTypes.ociManifest);
    if (answer.status !== 201) throw new Error(`push: ${answer.status} ${answer.body}`);
    return { config: configDigest, layer: layerDigest, digest: sha256(text), text, size: text.length };
  }

  /** Begins an upload; gives its path. */
  async begin(name: string): Promise<string> {
    return (await this.send('POST', `/v2/${name}/blobs/uploads/`)).headers.location!;
  }
}

export interface PushedImage {
  readonly config: string;
  readonly layer: string;
  readonly digest: string;
  readonly text: string;
  readonly size: number;
}

export function imageManifest(
  config: { digest: string; size: number },
  ...layers: readonly { digest: string; size: number }[]
): Record<string, unknown> {
  return {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, ...config },
    layers: layers.map((layer) => ({ mediaType: mediaTypes.ociLayerGzip, ...layer })),
  };
}

export function sha256(content: Buffer | string): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

export function sha512(content: Buffer | string): string {
  return `sha512:${createHash('sha512').update(content).digest('hex')}`;
}

/** What came, to be looked at. */
export function answerOf(status: number, headers: IncomingHttpHeaders, body: Buffer): Answer {
  const json = (): AnswerBody => JSON.parse(body.toString('utf8')) as AnswerBody;
  return {
    status,
    headers,
    body,
    json,
    get code() {
      return status >= 400 && body.length > 0 ? json().errors[0]?.code : undefined;
    },
  };
}

/** A registry in a folder of its own, listening on loopback. */
export class TestRegistry implements AsyncDisposable {
  readonly directory: string;
  readonly registry: Registry;
  readonly client: TestClient;
  readonly url: string;
  #kept = false;

  private constructor(directory: string, registry: Registry, url: string, port: number) {
    this.directory = directory;
    this.registry = registry;
    this.url = url;
    this.client = new TestClient(port);
  }

  static async start(options: Partial<RegistryOptions> = {}): Promise<TestRegistry> {
    const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'wherry-registry-')));
    const registry = await createRegistry({ collection: { interval: 0 }, ...options, directory });
    const { url, port } = await registry.listen();
    return new TestRegistry(directory, registry, url, port);
  }

  /** Stops and starts on the same folder. */
  async restart(options: Partial<RegistryOptions> = {}): Promise<TestRegistry> {
    this.#kept = true;
    await this[Symbol.asyncDispose]();
    return await TestRegistry.start({ ...options, directory: this.directory });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]();
    if (!this.#kept) await rm(this.directory, { recursive: true, force: true });
  }
}
