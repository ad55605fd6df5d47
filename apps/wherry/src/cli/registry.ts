import { WherryError } from '@wherry/base';
import type { CliContext, Command } from './context.ts';
import type { FlagSpec, ParsedFlags } from './flags.ts';

const flags: readonly FlagSpec[] = [
  { name: 'root', type: 'string', usage: 'folder of the registry', default: '/var/lib/wherry/registry' },
  { name: 'address', type: 'string', usage: 'address to listen on', default: '127.0.0.1' },
  { name: 'port', short: 'p', type: 'number', usage: 'port to listen on', default: 5000 },
  { name: 'tls-cert', type: 'string', usage: 'PEM file with the certificate; read again when it changes' },
  { name: 'tls-key', type: 'string', usage: 'PEM file with its key' },
  { name: 'read-only', type: 'boolean', usage: 'refuse pushes and deletions' },
  { name: 'absolute-locations', type: 'boolean', usage: 'answer with whole URLs instead of paths in Location headers' },
];

const subcommands: Readonly<Record<string, (flags: ParsedFlags, context: CliContext) => Promise<number>>> = {
  serve,
};

/** `wherry registry …`: the registry's own parts are loaded when one of its subcommands runs. */
export const registryCommand: Command = {
  name: 'registry',
  usage: 'wherry registry serve [flags]',
  summary: 'Serve images to container engines (OCI distribution-spec 1.1)',
  flags,
  async run(parsed, context) {
    const [name, ...more] = parsed.args;
    const run = name === undefined ? undefined : subcommands[name];
    if (!run || more.length > 0)
      throw new WherryError('invalid', `wherry registry takes one argument: ${Object.keys(subcommands).join(', ')}`);
    return await run(parsed, context);
  },
};

async function serve(parsed: ParsedFlags, { stdout }: CliContext): Promise<number> {
  const { createRegistry } = await import('@wherry/registry');
  const { jsonLogger } = await import('@wherry/base');
  const certificate = parsed.string('tls-cert');
  const key = parsed.string('tls-key');
  if ((certificate === undefined) !== (key === undefined))
    throw new WherryError('invalid', 'the flags --tls-cert and --tls-key belong together');
  const log = jsonLogger((line) => void stdout.write(line));
  await using registry = await createRegistry({
    directory: parsed.string('root')!,
    log,
    readOnly: parsed.boolean('read-only'),
    absoluteLocations: parsed.boolean('absolute-locations'),
  });
  const tls = certificate !== undefined && key !== undefined ? { certificate, key } : undefined;
  const { url } = await registry.listen({ address: parsed.string('address')!, port: parsed.number('port')!, tls });
  log.info('registry serves', { url });
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  return 0;
}
