import { type ErrorCode, messageOf, WherryError } from '@wherry/base';
import { fetchAddress, startOfAnswer } from '@wherry/images';

/** dockerd answers with what a server answered it. */
function codeOfStatus(status: number): ErrorCode {
  const codes: Readonly<Record<number, ErrorCode>> = {
    400: 'invalid',
    401: 'unauthorized',
    403: 'forbidden',
    404: 'notFound',
    409: 'conflict',
    501: 'unsupported',
    503: 'unavailable',
  };
  return codes[status] ?? (status >= 400 && status < 500 ? 'invalid' : 'internal');
}

/** What stands at an address that a client named, as a stream. Throws `internal`, and by the status that a server gives. */
export async function fetchContent(address: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(address) ? address : `http://${address}`;
  const response = await fetchAddress(text, signal).catch((error: unknown) => {
    throw new WherryError('internal', messageOf(error), { cause: error });
  });
  if (!response.ok) {
    const said = await startOfAnswer(response);
    const status = `${response.status} ${response.statusText}`;
    throw new WherryError(
      codeOfStatus(response.status),
      `failed to GET ${text} with status ${status}${said === '' ? '' : `: ${said}`}`,
    );
  }
  return response.body;
}
