import { codeOf, WherryError } from '@wherry/base';
import type { Digest } from '@wherry/oci';
import { allowedTarget, type RegistryTransport } from '../transport/registry-transport.ts';
import type { RegistryResponse } from '../transport/request.ts';
import type { FileBody } from '../transport/send-body.ts';

/** A larger blob is sent in parts of this size, so that a broken connection costs one. */
const chunkSize = 64 * 1024 * 1024;

/** A blob in a file. */
export interface UploadBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly path: string;
}

/** A blob that is still being written. */
export interface GrowingBlob {
  /** Each piece is valid until the next one is asked for. */
  readonly read: () => AsyncIterable<Uint8Array>;
  /** Resolves when it is whole. */
  readonly whole: Promise<UploadBlob>;
}

/** Where an upload stands. */
export interface Upload {
  readonly location: URL;
  readonly offset: number;
}

/** The push side of one repository (OCI distribution-spec 1.1). */
export class Uploader {
  readonly #transport: RegistryTransport;

  constructor(transport: RegistryTransport) {
    this.#transport = transport;
  }

  async has(digest: Digest): Promise<boolean> {
    const path = `blobs/${digest}`;
    return await this.#transport.retried(async () => {
      const response = await this.#transport.request('HEAD', path);
      response.body.resume();
      if (response.status === 200) return true;
      // Why it is refused says the answer to the upload: this one has no body.
      if (response.status === 404 || (response.status === 401 && this.#transport.isAuthorized)) return false;
      throw await this.#transport.failure(response, 'HEAD', path);
    });
  }

  /** Has the registry take a blob from one of its other repositories, or begins to upload it where there are any. */
  async mount(
    digest: Digest,
    sources: readonly string[],
  ): Promise<{ readonly from: string } | { readonly upload: Upload | undefined }> {
    const [from] = sources;
    if (from === undefined) return { upload: undefined };
    const upload = await this.#begin(digest, from);
    return upload === undefined ? { from } : { upload };
  }

  /** Sends a blob; goes on with an upload that was begun. */
  async upload(blob: UploadBlob, begun: Upload | undefined, onBytes: (sent: number) => void): Promise<void> {
    let upload = begun;
    await this.#transport.retried(async () => {
      upload = upload === undefined ? (await this.#begin())! : await this.#whereIs(upload);
      await this.#send(blob, upload, onBytes, (reached) => {
        upload = reached;
      });
    });
  }

  /** Sends a blob while it is written; what a broken connection left of that once it is whole. */
  async uploadGrowing(
    { read, whole }: GrowingBlob,
    begun: Upload | undefined,
    onBytes: (sent: number) => void,
  ): Promise<void> {
    const upload = begun ?? (await this.#transport.retried(async () => (await this.#begin())!));
    try {
      const location = await this.#stream(upload, read);
      const blob = await whole;
      await this.#send(blob, { location, offset: blob.size }, onBytes);
    } catch (error) {
      if (codeOf(error) !== 'unavailable') throw error;
      await this.upload(await whole, upload, onBytes);
    }
  }

  /** Puts a manifest under a tag or digest. */
  async manifest(content: Buffer, mediaType: string, which: string): Promise<void> {
    const path = `manifests/${which}`;
    await this.#transport.retried(async () => {
      const response = await this.#transport.request('PUT', path, { 'Content-Type': mediaType }, content);
      if (response.status !== 201 && response.status !== 200 && response.status !== 202) {
        throw await this.#transport.failure(response, 'PUT', path);
      }
      response.body.resume();
    });
  }

  /** Begins an upload; `undefined` when the blob was mounted instead. */
  async #begin(mount?: Digest, from?: string): Promise<Upload | undefined> {
    const query = mount && from ? `?${new URLSearchParams({ mount, from })}` : '';
    const path = `blobs/uploads/${query}`;
    const response = await this.#transport.request('POST', path);
    if (response.status === 201 && mount) {
      response.body.resume();
      return undefined;
    }
    if (response.status !== 202) throw await this.#transport.failure(response, 'POST', path);
    return { location: await this.#location(response), offset: 0 };
  }

  /** What of an upload the registry has after it was cut off; begun anew when it has forgotten it. */
  async #whereIs(upload: Upload): Promise<Upload> {
    const response = await this.#transport.request('GET', upload.location);
    response.body.resume();
    if (response.status !== 204) return (await this.#begin())!;
    const end = /^(?:bytes=)?0-(\d+)$/.exec(String(response.headers.range ?? ''))?.[1];
    const offset = end === undefined ? 0 : Number(end) + 1;
    // `0-0` is what registries say of nothing as well as of one byte.
    return { location: await this.#location(response, upload.location), offset: offset === 1 ? 0 : offset };
  }

  /** One request without a known length, as dockerd sends every blob. */
  async #stream(upload: Upload, read: () => AsyncIterable<Uint8Array>): Promise<URL> {
    const type = { 'Content-Type': 'application/octet-stream' };
    const response = await this.#transport.request('PATCH', upload.location, type, { pieces: read });
    if (response.status !== 202) throw await this.#transport.failure(response, 'PATCH', upload.location);
    return await this.#location(response, upload.location);
  }

  async #send(
    blob: UploadBlob,
    from: Upload,
    onBytes: (sent: number) => void,
    onReached: (upload: Upload) => void = () => undefined,
  ): Promise<void> {
    let { location, offset } = from;
    while (blob.size - offset > chunkSize || (offset > 0 && offset < blob.size)) {
      const end = Math.min(offset + chunkSize, blob.size);
      const range = { 'Content-Range': `${offset}-${end - 1}`, 'Content-Type': 'application/octet-stream' };
      const response = await this.#transport.request('PATCH', location, range, part(blob, offset, end, onBytes));
      if (response.status === 416) {
        response.body.resume();
        throw new WherryError('unavailable', `the registry has another part of ${blob.digest} than it was sent`);
      }
      if (response.status !== 202) throw await this.#transport.failure(response, 'PATCH', location);
      location = await this.#location(response, location);
      response.body.resume();
      offset = end;
      onReached({ location, offset });
    }
    const url = new URL(location);
    url.searchParams.set('digest', blob.digest);
    const rest = part(blob, offset, blob.size, onBytes);
    const response = await this.#transport.request('PUT', url, { 'Content-Type': 'application/octet-stream' }, rest);
    if (response.status !== 201) throw await this.#transport.failure(response, 'PUT', url);
    response.body.resume();
  }

  async #location(response: RegistryResponse, otherwise?: URL): Promise<URL> {
    response.body.resume();
    const { location } = response.headers;
    const base = await this.#transport.base();
    if (location === undefined && otherwise) return otherwise;
    if (location === undefined) throw new WherryError('unavailable', 'the registry does not say where to upload to');
    return allowedTarget(location, otherwise ?? base);
  }
}

function part({ path }: UploadBlob, start: number, end: number, onBytes: (sent: number) => void): FileBody {
  let sent = start;
  const onSent = (bytes: number): void => {
    sent += bytes;
    onBytes(sent);
  };
  return { path, start, end, onSent };
}
