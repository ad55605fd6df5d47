import { messageOf, WherryError } from '@wherry/base';
import { fetchAddress } from '@wherry/images';

/** Bytes of a server's answer that are repeated. */
const longestAnswer = 4096;

/** What stands at an address that a client named, as a stream. Throws `invalid`, `notFound`, `internal`. */
export async function fetchContent(address: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const text = /^https?:\/\//.test(address) ? address : `http://${address}`;
  const response = await fetchAddress(text, signal).catch((error: unknown) => {
    throw new WherryError('internal', messageOf(error), { cause: error });
  });
  if (!response.ok || response.body === null) {
    const said = await startOf(response);
    const status = `${response.status} ${response.statusText}`;
    throw new WherryError('internal', `failed to GET ${text} with status ${status}${said === '' ? '' : `: ${said}`}`);
  }
  return response.body as unknown as AsyncIterable<Uint8Array>;
}

/** What a server says of a failure, cut short. */
async function startOf({ body }: Response): Promise<string> {
  let said = Buffer.alloc(0);
  for await (const chunk of (body ?? []) as unknown as AsyncIterable<Uint8Array>) {
    said = Buffer.concat([said, chunk]);
    if (said.length >= longestAnswer) break;
  }
  return said.subarray(0, longestAnswer).toString().trim();
}
