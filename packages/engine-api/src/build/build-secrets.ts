import { WherryError } from '@wherry/base';

/** An id in the form of a query, its content in base64. */
const secret = /^([^=\s]+)=([A-Za-z0-9+/]*={0,2})$/;

/**
 * `X-Build-Secrets: ID=CONTENT, ID=CONTENT`: what `RUN --mount=type=secret` may see, by id. A header, for a query stands
 * in logs. Throws `invalid` without telling any of it.
 */
export function buildSecrets(header: string | string[] | undefined): Readonly<Record<string, Buffer>> {
  const entries = typeof header === 'string' && header !== '' ? header.split(/\s*,\s*/) : [];
  const secrets = entries.map((entry): [string, Buffer] => {
    const [, id, content] = secret.exec(entry) ?? [];
    if (id === undefined || content === undefined)
      throw new WherryError('invalid', 'invalid X-Build-Secrets header: ID=BASE64 is expected');
    return [decoded(id), Buffer.from(content, 'base64')];
  });
  return Object.fromEntries(secrets);
}

function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch (error) {
    throw new WherryError('invalid', 'invalid id in X-Build-Secrets header', { cause: error });
  }
}
