import { writeFile } from 'node:fs/promises';
import { WherryError } from '@wherry/base';
import { dockerSocketPath } from '../machine/paths.ts';
import { BuildDisplay } from './build-display.ts';
import { addLimits, limitFlags } from './build-limits.ts';
import { postBuild } from './build-request.ts';
import { buildSecrets } from './build-secrets.ts';
import { openBuildSource } from './build-source.ts';
import { type CliContext, type Command, nameFlag } from './context.ts';
import type { FlagSpec, ParsedFlags } from './flags.ts';
import { registryLogins } from './registry-logins.ts';
import { knownCluster } from './status.ts';

const flags: readonly FlagSpec[] = [
  nameFlag,
  { name: 'why', type: 'boolean', usage: 'say of each step that is not cached what is not as it was' },
  { name: 'tag', short: 't', type: 'strings', usage: 'name of the image, such as app:1.0; several are taken' },
  { name: 'file', short: 'f', type: 'string', usage: 'path of the Dockerfile, or - (default PATH/Dockerfile)' },
  { name: 'target', type: 'string', usage: 'stage to build' },
  { name: 'build-arg', type: 'strings', usage: 'NAME=VALUE of an ARG; without =VALUE that of the environment' },
  { name: 'secret', type: 'strings', usage: 'for RUN --mount=type=secret: id=ID[,src=FILE|,env=NAME]' },
  { name: 'label', type: 'strings', usage: 'NAME=VALUE for the image' },
  { name: 'no-cache', type: 'boolean', usage: 'take nothing from the cache' },
  { name: 'cache-from', type: 'strings', usage: 'take only what these images were made of from the cache' },
  { name: 'pull', type: 'boolean', usage: 'ask registries for newer base images' },
  { name: 'platform', type: 'string', usage: 'platform of the image, such as linux/amd64' },
  { name: 'network', type: 'string', usage: 'network of RUN: default, none, host, a name, container:NAME' },
  { name: 'add-host', type: 'strings', usage: 'NAME:ADDRESS for /etc/hosts of RUN' },
  ...limitFlags,
  { name: 'iidfile', type: 'string', usage: 'file that gets the image id' },
  { name: 'quiet', short: 'q', type: 'boolean', usage: 'print the image id alone' },
];

export const buildCommand: Command = {
  name: 'build',
  usage: 'wherry build [--why] [flags] PATH|URL|-',
  summary: 'Build an image from a Dockerfile, and say why steps are not cached',
  flags,
  async run(parsed, context) {
    const [where, ...more] = parsed.args;
    if (where === undefined || more.length > 0)
      throw new WherryError('invalid', 'wherry build takes exactly one argument: a folder, a URL, or -');
    const config = await knownCluster(context.home, parsed.string('name')!);
    const { env, stdin, stdout, stderr } = context;
    const source = await openBuildSource({ where, file: parsed.string('file'), stdin });
    const display = new BuildDisplay({ stdout, stderr, quiet: parsed.boolean('quiet') });
    const answer = await postBuild(dockerSocketPath(config), {
      query: buildQuery(parsed, env, source),
      body: source.archive && display.counting(source.archive),
      logins: await registryLogins(env),
      secrets: await buildSecrets(parsed.strings('secret'), env),
      onMessage: (message) => display.add(message),
    });
    if (answer !== 0) return answer;
    const file = parsed.string('iidfile');
    if (file !== undefined) await writeFile(file, display.imageId);
    return 0;
  },
};

/** What `POST /build` is asked for. */
export function buildQuery(
  parsed: ParsedFlags,
  env: CliContext['env'],
  source: { readonly remote: string | undefined; readonly dockerfileName: string },
): URLSearchParams {
  const query = new URLSearchParams({ dockerfile: source.dockerfileName, rm: '1', version: '1' });
  const text = (name: string, value: string | undefined): void => {
    if (value !== undefined && value !== '') query.set(name, value);
  };
  for (const tag of parsed.strings('tag')) query.append('t', tag);
  text('remote', source.remote);
  for (const name of ['target', 'platform']) text(name, parsed.string(name));
  text('networkmode', parsed.string('network'));
  text('extrahosts', parsed.strings('add-host').join(','));
  for (const [flag, name] of Object.entries({ why: 'why', 'no-cache': 'nocache', pull: 'pull', quiet: 'q' }))
    if (parsed.boolean(flag)) query.set(name, '1');
  query.set('buildargs', JSON.stringify(pairs(parsed.strings('build-arg'), (name) => env[name] ?? null)));
  query.set('labels', JSON.stringify(pairs(parsed.strings('label'), () => '')));
  addLimits(parsed, query);
  query.set('cachefrom', JSON.stringify(parsed.strings('cache-from')));
  return query;
}

function pairs<T>(entries: readonly string[], bare: (name: string) => T): Record<string, string | T> {
  const found = entries.map((entry): [string, string | T] => {
    const equals = entry.indexOf('=');
    return equals < 0 ? [entry, bare(entry)] : [entry.slice(0, equals), entry.slice(equals + 1)];
  });
  return Object.fromEntries(found);
}
