import { messageOf, WherryError } from '@wherry/base';

/** What stands at an address that a client named, as a stream. Throws `invalid`, `notFound`, `internal`. */
export async function fetchContent(address: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const text = /^https?:\/\//.test(address) ? address : `http://${address}`;
  if (!URL.canParse(text)) throw new WherryError('invalid', `parse ${JSON.stringify(address)}: invalid address`);
  let response: Response;
  try {
    response = await fetch(text, { signal });
  } catch (error) {
    throw new WherryError('internal', `Get ${JSON.stringify(text)}: ${reasonOf((error as Error).cause ?? error)}`);
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new WherryError('internal', `failed to GET ${text} with status ${response.status} ${response.statusText}`);
  }
  return response.body as unknown as AsyncIterable<Uint8Array>;
}

/** In the words of Go's net package. */
function reasonOf(error: unknown): string {
  const { code, address, port } = error as { code?: string; address?: string; port?: number };
  if (code === 'ECONNREFUSED') return `dial tcp ${address}:${port}: connect: connection refused`;
  return messageOf(error);
}
