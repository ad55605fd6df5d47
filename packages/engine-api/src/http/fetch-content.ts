import { messageOf, WherryError } from '@wherry/base';
import { fetchAddress, startOfAnswer } from '@wherry/images';

/** What stands at an address that a client named, as a stream. Throws `invalid`, `notFound`, `internal`. */
export async function fetchContent(address: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const text = /^https?:\/\//.test(address) ? address : `http://${address}`;
  const response = await fetchAddress(text, signal).catch((error: unknown) => {
    throw new WherryError('internal', messageOf(error), { cause: error });
  });
  if (!response.ok) {
    const said = await startOfAnswer(response);
    const status = `${response.status} ${response.statusText}`;
    throw new WherryError('internal', `failed to GET ${text} with status ${status}${said === '' ? '' : `: ${said}`}`);
  }
  return response.body;
}
