import { readFile } from 'node:fs/promises';
import { errnoOf, WherryError } from '@wherry/base';

/** Bytes of one secret, as BuildKit has it. */
const largestSecret = 500 * 1024;

/**
 * What `--secret id=ID[,src=FILE|,env=NAME]` gives, as the header `X-Build-Secrets` has it; without either, the variable
 * or the file of that name. Throws `invalid`, `notFound`.
 */
export async function buildSecrets(
  given: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const entries: string[] = [];
  for (const text of given) {
    const { id, file, variable } = parseSecret(text, env);
    const content = variable === undefined ? await contentOf(id, file) : Buffer.from(env[variable] ?? '');
    if (content.length > largestSecret)
      throw new WherryError('invalid', `secret ${id} is too big: at most ${largestSecret / 1024} KiB`);
    entries.push(`${encodeURIComponent(id)}=${content.toString('base64')}`);
  }
  return entries.join(',');
}

interface SecretSource {
  readonly id: string;
  readonly file: string;
  readonly variable: string | undefined;
}

function parseSecret(text: string, env: Readonly<Record<string, string | undefined>>): SecretSource {
  const fields = new Map<string, string>();
  for (const field of text.split(',')) {
    const equals = field.indexOf('=');
    if (equals < 0) throw new WherryError('invalid', `invalid field '${field}' must be a key=value pair`);
    const key = field.slice(0, equals).toLowerCase();
    if (!['id', 'src', 'source', 'env', 'type'].includes(key))
      throw new WherryError('invalid', `unexpected key '${key}' in '${field}'`);
    fields.set(key === 'source' ? 'src' : key, field.slice(equals + 1));
  }
  const type = fields.get('type');
  if (type !== undefined && type !== 'file' && type !== 'env')
    throw new WherryError('invalid', `unsupported secret type ${JSON.stringify(type)}`);
  const src = fields.get('src');
  const id = fields.get('id') || src || fields.get('env');
  if (!id) throw new WherryError('invalid', `secret ${JSON.stringify(text)} has no id`);
  const named = fields.get('env') ?? (type === 'env' ? (src ?? id) : undefined);
  const variable = named ?? (src === undefined && type === undefined && env[id] !== undefined ? id : undefined);
  return { id, file: src ?? id, variable };
}

async function contentOf(id: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const why = errnoOf(error) === 'ENOENT' ? 'no such file' : (error as Error).message;
    throw new WherryError('notFound', `secret ${id}: ${file}: ${why}`, { cause: error });
  }
}
