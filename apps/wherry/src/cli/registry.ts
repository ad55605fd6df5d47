import { readFile } from 'node:fs/promises';
import { messageOf, WherryError } from '@wherry/base';
import type { CliContext, Command } from './context.ts';
import type { FlagSpec, ParsedFlags } from './flags.ts';
import { formatTable, printable } from './table.ts';

const flags: readonly FlagSpec[] = [
  { name: 'root', type: 'string', usage: 'folder of the registry', default: '/var/lib/wherry/registry' },
  { name: 'address', type: 'string', usage: 'serve: address to listen on', default: '127.0.0.1' },
  { name: 'port', short: 'p', type: 'number', usage: 'serve: port to listen on', default: 5000 },
  { name: 'tls-cert', type: 'string', usage: 'serve: PEM file with the certificate; read again when it changes' },
  { name: 'tls-key', type: 'string', usage: 'serve: PEM file with its key' },
  {
    name: 'htpasswd',
    type: 'string',
    usage: 'serve: file of users, as "htpasswd -B" or "wherry registry passwd" writes it',
  },
  {
    name: 'token',
    type: 'boolean',
    usage: 'serve: give users tokens, which also allows anonymous pulls beside logins',
  },
  { name: 'token-issuer', type: 'string', usage: 'serve: name of another token service whose tokens are taken' },
  { name: 'token-realm', type: 'string', usage: 'serve: URL of that token service' },
  { name: 'token-keys', type: 'string', usage: 'serve: JWK set or PEM file with its keys' },
  { name: 'token-service', type: 'string', usage: 'serve: what tokens are for', default: 'wherry-registry' },
  { name: 'access', type: 'string', usage: 'serve: YAML file of rules: users, repositories, actions' },
  { name: 'read-only', type: 'boolean', usage: 'serve: refuse pushes and deletions' },
  { name: 'no-delete', type: 'boolean', usage: 'serve: refuse to delete blobs, manifests and tags' },
  { name: 'sparse', type: 'boolean', usage: 'serve: take manifests and indexes of which parts are missing' },
  { name: 'proxy', type: 'string', usage: 'serve: be a cache of the registry at this URL' },
  { name: 'proxy-user', type: 'string', usage: 'serve: user at that registry' },
  { name: 'proxy-password-file', type: 'string', usage: "serve: file with the user's password" },
  { name: 'quota', type: 'string', usage: 'serve: bytes of all content, such as 50GB' },
  { name: 'repository-quota', type: 'string', usage: 'serve: bytes of one repository' },
  { name: 'blob-limit', type: 'string', usage: 'serve: bytes of one blob' },
  { name: 'gc-hours', type: 'number', usage: 'serve: hours between garbage collections, 0 for none', default: 24 },
  { name: 'untagged', type: 'boolean', usage: 'serve, gc: collect manifests that no tag leads to, too' },
  { name: 'absolute-locations', type: 'boolean', usage: 'serve: whole URLs instead of paths in Location headers' },
  { name: 'external-url', type: 'string', usage: 'serve: URL under which clients reach the registry' },
  { name: 'output', short: 'o', type: 'string', usage: 'ls, gc: json for a machine to read' },
];

type Subcommand = (flags: ParsedFlags, context: CliContext) => Promise<number>;

const subcommands: Readonly<Record<string, Subcommand>> = { serve, gc, ls, passwd, image };
/** Arguments after the subcommand, at most. */
const mostArguments: Readonly<Record<string, number>> = { ls: 1, passwd: 1, image: 1 };

/** `wherry registry …`: the registry itself is loaded when one of these runs. */
export const registryCommand: Command = {
  name: 'registry',
  usage: `wherry registry serve [flags]
  wherry registry ls [REPOSITORY] [--root FOLDER]
  wherry registry gc [--untagged] [--root FOLDER]
  wherry registry passwd USER --htpasswd FILE   (reads the password from standard input)
  wherry registry image FILE                    (an archive for docker load, of a registry to run as a container)`,
  summary: 'Serve images to container engines, or look after such a registry',
  flags,
  async run(parsed, context) {
    const name = parsed.args[0] ?? '';
    if (!Object.hasOwn(subcommands, name))
      throw new WherryError('invalid', `wherry registry takes an argument: ${Object.keys(subcommands).join(', ')}`);
    if (parsed.args.length > 1 + (mostArguments[name] ?? 0))
      throw new WherryError('invalid', `wherry registry ${name} takes no more arguments`);
    return await subcommands[name]!(parsed, context);
  },
};

async function serve(parsed: ParsedFlags, { stdout }: CliContext): Promise<number> {
  const { createRegistry } = await import('@wherry/registry');
  const { jsonLogger } = await import('@wherry/base');
  const log = jsonLogger((line) => void stdout.write(line));
  const tls = together(parsed, 'tls-cert', 'tls-key');
  const interval = parsed.number('gc-hours')! * 60 * 60 * 1000;
  await using registry = await createRegistry({
    directory: parsed.string('root')!,
    log,
    auth: await authOptions(parsed),
    proxy: await proxyOptions(parsed),
    readOnly: parsed.boolean('read-only'),
    keepAll: parsed.boolean('no-delete'),
    sparse: parsed.boolean('sparse'),
    quotas: {
      total: bytes(parsed, 'quota'),
      repository: bytes(parsed, 'repository-quota'),
      blob: bytes(parsed, 'blob-limit'),
    },
    collection: { interval, untagged: parsed.boolean('untagged') },
    absoluteLocations: parsed.boolean('absolute-locations'),
    externalUrl: parsed.string('external-url'),
  });
  const { url } = await registry.listen({
    address: parsed.string('address')!,
    port: parsed.number('port')!,
    tls: tls && { certificate: tls[0], key: tls[1] },
  });
  log.info('registry serves', { url });
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  log.info('registry stops');
  return 0;
}

async function authOptions(parsed: ParsedFlags): Promise<object> {
  const issuer = together(parsed, 'token-issuer', 'token-realm', 'token-keys');
  const access = parsed.string('access');
  return {
    htpasswd: parsed.string('htpasswd'),
    tokens: parsed.boolean('token'),
    service: parsed.string('token-service'),
    issuer: issuer && { name: issuer[0], realm: issuer[1], keys: issuer[2] },
    rules: access === undefined ? undefined : await readRules(access),
  };
}

async function readRules(file: string): Promise<unknown> {
  const { parse } = await import('yaml');
  const { parseAccessRules } = await import('@wherry/registry');
  try {
    return parseAccessRules(parse(await readFile(file, 'utf8')));
  } catch (error) {
    throw new WherryError('invalid', `${file}: ${messageOf(error)}`, { cause: error });
  }
}

async function proxyOptions(
  parsed: ParsedFlags,
): Promise<{ url: string; username?: string; password?: string } | undefined> {
  const url = parsed.string('proxy');
  const user = together(parsed, 'proxy-user', 'proxy-password-file');
  if (url === undefined) {
    if (user) throw new WherryError('invalid', 'the flag --proxy-user belongs to --proxy');
    return undefined;
  }
  return user ? { url, username: user[0], password: (await readFile(user[1], 'utf8')).replace(/\r?\n$/, '') } : { url };
}

async function gc(parsed: ParsedFlags, { stdout }: CliContext): Promise<number> {
  const { createRegistry, sendCommand, formatBytes } = await import('@wherry/registry');
  const directory = await existing(parsed);
  const untagged = parsed.boolean('untagged');
  let report = (await sendCommand(directory, 'gc', { untagged: String(untagged) })) as
    | Awaited<ReturnType<Awaited<ReturnType<typeof createRegistry>>['collectGarbage']>>
    | undefined;
  if (report === undefined) {
    await using registry = await createRegistry({ directory, collection: { interval: 0 } });
    report = await registry.collectGarbage({ untagged });
  }
  if (isJson(parsed)) stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else
    stdout.write(
      `Removed ${report.manifests} manifests, ${report.links} blobs of repositories and ${report.uploads} uploads.\n` +
        `Freed ${formatBytes(report.bytes)} in ${report.blobs} files.\n`,
    );
  return 0;
}

async function ls(parsed: ParsedFlags, { stdout }: CliContext): Promise<number> {
  const { summarise, formatBytes } = await import('@wherry/registry');
  const directory = await existing(parsed);
  const wanted = parsed.args[1];
  const found = [];
  for await (const one of summarise(directory)) if (wanted === undefined || one.name === wanted) found.push(one);
  if (wanted !== undefined && found.length === 0)
    throw new WherryError('notFound', `there is no repository ${JSON.stringify(wanted)} in ${directory}`);
  if (isJson(parsed)) stdout.write(`${JSON.stringify(found, null, 2)}\n`);
  else if (wanted === undefined) {
    const rows = found.map((one) => [
      one.name,
      ...[one.tags.length, one.manifests, one.blobs].map(String),
      formatBytes(one.bytes),
    ]);
    stdout.write(`${formatTable(['REPOSITORY', 'TAGS', 'MANIFESTS', 'BLOBS', 'SIZE'], rows)}\n`);
  } else {
    const rows = found[0]!.tags.map((tag) => [
      tag.tag,
      tag.digest,
      new Date(tag.taggedAt).toISOString().slice(0, 19),
      tag.mediaType,
    ]);
    stdout.write(`${formatTable(['TAG', 'DIGEST', 'PUSHED', 'MEDIA TYPE'], rows)}\n`);
  }
  return 0;
}

/** Adds a user, or gives one another password. */
async function passwd(parsed: ParsedFlags, { stdin, stdout }: CliContext): Promise<number> {
  const { hash } = await import('bcryptjs');
  const { writeFileAtomically } = await import('@wherry/base');
  const user = parsed.args[1];
  const file = parsed.string('htpasswd');
  if (user === undefined || !/^[^\s:]{1,200}$/.test(user))
    throw new WherryError('invalid', 'the argument must be the name of a user, without colons and spaces');
  if (file === undefined) throw new WherryError('invalid', 'the flag --htpasswd says which file to write');
  let password = '';
  for await (const chunk of stdin) {
    password += String(chunk);
    if (password.length > 4096) break;
  }
  password = password.replace(/\r?\n$/, '');
  // More is ignored by bcrypt, which would take a part of the password for the whole.
  if (password === '' || Buffer.byteLength(password) > 72)
    throw new WherryError('invalid', 'the password on standard input must have 1 to 72 bytes');
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw new WherryError('invalid', error.message, { cause: error });
  });
  const others = text.split('\n').filter((line) => line !== '' && !line.startsWith(`${user}:`));
  await writeFileAtomically(file, `${[...others, `${user}:${await hash(password, 10)}`].join('\n')}\n`);
  stdout.write(`Password of ${printable(user)} set in ${printable(file)}\n`);
  return 0;
}

/** Makes an image of the registry from this program and the Node that runs it. */
async function image(parsed: ParsedFlags, { stdout, version }: CliContext): Promise<number> {
  const { registryImage } = await import('../node-image/registry-image.ts');
  const { writeNodeArchive } = await import('../node-image/archive.ts');
  const file = parsed.args[1];
  if (file === undefined)
    throw new WherryError('invalid', 'wherry registry image takes an argument: the file to write');
  const reference = `wherry.local/registry:${version}`;
  await writeNodeArchive(file, await registryImage(reference));
  stdout.write(`${reference} written to ${printable(file)}\n`);
  return 0;
}

async function existing(parsed: ParsedFlags): Promise<string> {
  const directory = parsed.string('root')!;
  await readFile(`${directory}/registry.json`).catch((error: unknown) => {
    throw new WherryError('notFound', `there is no registry in ${directory}`, { cause: error });
  });
  return directory;
}

function isJson(parsed: ParsedFlags): boolean {
  const output = parsed.string('output');
  if (output !== undefined && output !== 'json')
    throw new WherryError(
      'invalid',
      `unable to match the flag --output ${JSON.stringify(output)}, allowed formats are: json`,
    );
  return output === 'json';
}

/** The values of flags that are given together or not at all. */
function together<const Names extends readonly string[]>(
  parsed: ParsedFlags,
  ...names: Names
): { readonly [Index in keyof Names]: string } | undefined {
  const values = names.map((name) => parsed.string(name));
  if (values.every((value) => value === undefined)) return undefined;
  if (values.includes(undefined))
    throw new WherryError('invalid', `the flags ${names.map((name) => `--${name}`).join(', ')} belong together`);
  return values as unknown as { readonly [Index in keyof Names]: string };
}

const units: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

function bytes(parsed: ParsedFlags, name: string): number | undefined {
  const text = parsed.string(name);
  if (text === undefined) return undefined;
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?$/i.exec(text);
  const unit = match ? units[match[2]!.toLowerCase()] : undefined;
  if (!match || unit === undefined)
    throw new WherryError(
      'invalid',
      `invalid argument ${JSON.stringify(text)} for "--${name}" flag: bytes such as 500MB or 50GiB`,
    );
  return Math.floor(Number(match[1]) * unit);
}
