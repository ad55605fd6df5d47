import { WherryError } from '@wherry/base';
import { networkReason } from '@wherry/images';

/** Bytes of a server's answer that are repeated. */
const longestAnswer = 4096;

/** What stands at an address that a client named, as a stream. Throws `invalid`, `notFound`, `internal`. */
export async function fetchContent(address: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const text = /^https?:\/\//.test(address) ? address : `http://${address}`;
  if (/^https?:\/\/$/.test(text)) {
    throw new WherryError('internal', `Get "${text.slice(0, -2)}": http: no Host in request URL`);
  }
  if (!URL.canParse(text)) throw new WherryError('invalid', `parse ${JSON.stringify(address)}: invalid address`);
  let response: Response;
  try {
    response = await fetch(text, { signal });
  } catch (error) {
    const reason = networkReason(((error as Error).cause ?? error) as Error, new URL(text));
    throw new WherryError('internal', `Get ${JSON.stringify(text)}: ${reason}`);
  }
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
