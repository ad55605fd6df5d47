import { createHash } from 'node:crypto';
import type { Authentication } from '../auth/authentication.ts';
import type { RegistryContext } from '../context.ts';
import { isRepositoryName, type ManifestReference, parseManifestReference, type RepositoryName } from '../names.ts';
import { type Exchange, methodNotAllowed } from '../protocol/exchange.ts';
import { refusal } from '../refusal.ts';
import { type Html, html } from './html.ts';
import { type ImageDetails, imageDetails, sizeOfImage } from './image-details.ts';

const style = `:root{color-scheme:light dark;--line:#8883;--soft:#8881;--link:light-dark(#0b57d0,#8ab4f8)}
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:0 auto 3rem;padding:0 1rem}
nav{border-bottom:1px solid var(--line);padding:.8rem 0;margin-bottom:1.4rem;overflow-wrap:anywhere}
h1{font-size:1.35rem;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:1.8rem 0 .3rem}a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .9rem .4rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td{overflow-wrap:anywhere}th{font-weight:600;white-space:nowrap}:is(th,td):last-child{padding-right:0}tr:hover td{background:var(--soft)}
code,pre{font:13px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}pre{background:var(--soft);padding:.7rem .9rem;border-radius:6px;white-space:pre-wrap}
.n{text-align:right;white-space:nowrap}.t{white-space:nowrap}
@media(max-width:40rem){.t{white-space:normal}td{min-width:4rem}}`;

/** No script, no form, nothing from elsewhere; the one style is named by its hash. */
const policy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
const rowsOnPage = 200;

/** Whether the path is one of the catalogue's pages. */
export function isCataloguePath(path: string): boolean {
  return path === '/' || path.startsWith('/repositories/');
}

/** Pages for people: repositories, their tags, an image. Shows what who asks may pull. */
export async function answerCatalogue(
  context: RegistryContext,
  auth: Authentication,
  exchange: Exchange,
): Promise<void> {
  exchange.route = 'page';
  if (exchange.method !== 'GET' && !exchange.isHead) throw methodNotAllowed(['GET', 'HEAD']);
  exchange.identity = await auth.identifyPerson(exchange);
  if (exchange.path === '/') {
    const names = context.contents.repositories.names().filter((name) => auth.allows(exchange.identity, name, 'pull'));
    if (auth.required && exchange.identity.user === undefined && names.length === 0)
      throw refusal('UNAUTHORIZED', 'authentication required', {
        headers: { 'WWW-Authenticate': 'Basic realm="registry"' },
      });
    send(exchange, 'Repositories', await repositoriesPage(context, exchange, names));
    return;
  }
  const [, name = '', separator, text = ''] = /^\/repositories\/([^:@]+)(?:([:@])([^/]+))?$/.exec(exchange.path) ?? [];
  const known = isRepositoryName(name) && auth.allows(exchange.identity, name, 'pull');
  if (!known || !context.contents.repositories.exists(name))
    throw refusal('NAME_UNKNOWN', 'repository name not known to registry');
  if (separator === undefined) {
    send(exchange, name, await tagsPage(context, exchange, name));
    return;
  }
  const reference = parseManifestReference(text);
  if (reference?.kind !== (separator === ':' ? 'tag' : 'digest')) throw refusal('MANIFEST_UNKNOWN', 'manifest unknown');
  send(exchange, name + separator + text, await imagePage(context, exchange, name, reference), name);
}

async function repositoriesPage(
  context: RegistryContext,
  exchange: Exchange,
  names: readonly RepositoryName[],
): Promise<Html> {
  const shown = after(names, exchange);
  const rows: Html[] = [];
  for (const name of shown) {
    const tags = await context.contents.repositories.tags(name);
    rows.push(html`<tr><td><a href="/repositories/${name}">${name}</a></td><td class="n">${tags.length}</td></tr>`);
  }
  if (names.length === 0)
    return html`<p>Nothing was pushed yet. Try</p><pre>docker push ${hostOf(exchange)}/NAME:TAG</pre>`;
  return html`<table><tr><th>Repository</th><th class="n">Tags</th></tr>${rows}</table>${more(names, shown, '/')}`;
}

async function tagsPage(context: RegistryContext, exchange: Exchange, name: RepositoryName): Promise<Html> {
  const { contents } = context;
  const tags = await contents.repositories.tags(name);
  const shown = after(tags, exchange);
  const rows: Html[] = [];
  for (const tag of shown) {
    const record = await contents.repositories.tag(name, tag);
    const manifest = record && (await contents.repositories.manifest(name, record.digest));
    if (!record || !manifest) continue;
    const size = formatBytes(await sizeOfImage(contents, name, record.digest));
    rows.push(
      html`<tr><td><a href="/repositories/${name}:${tag}">${tag}</a></td><td class="t"><code>${record.digest.slice(0, 19)}</code></td><td class="n">${size}</td><td class="t">${new Date(record.taggedAt).toISOString().slice(0, 16).replace('T', ' ')}</td></tr>`,
    );
  }
  const list = html`<table><tr><th>Tag</th><th>Digest</th><th class="n">Size</th><th>Pushed (UTC)</th></tr>${rows}</table>`;
  return html`${list}${more(tags, shown, `/repositories/${name}`)}`;
}

async function imagePage(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  reference: ManifestReference,
): Promise<Html> {
  const digest = await context.contents.resolve(name, reference);
  const details = digest && (await imageDetails(context.contents, name, digest));
  if (!details) throw refusal('MANIFEST_UNKNOWN', 'manifest unknown');
  const { artifactType } = details;
  const pull = `${hostOf(exchange)}/${name}${reference.kind === 'tag' ? `:${reference.tag}` : `@${digest}`}`;
  const type = artifactType === undefined ? undefined : html`<tr><th>Artifact type</th><td>${artifactType}</td></tr>`;
  return html`<pre>docker pull ${pull}</pre><table><tr><th>Digest</th><td><code>${details.digest}</code></td></tr><tr><th>Media type</th><td>${details.mediaType}</td></tr>${type}<tr><th>Size</th><td>${formatBytes(details.size)}</td></tr></table>${manifests(name, details)}${layers(details)}${referrers(name, details)}${config(details)}`;
}

function manifests(name: RepositoryName, { manifests: found }: ImageDetails): Html | undefined {
  if (found.length === 0) return undefined;
  const rows = found.map(
    ({ digest, size, mediaType, note }) =>
      html`<tr><td>${linkTo(name, digest)}</td><td>${note ?? mediaType}</td><td class="n">${formatBytes(size)}</td></tr>`,
  );
  return html`<h2>Manifests</h2><table>${rows}</table>`;
}

function layers({ layers: found }: ImageDetails): Html | undefined {
  if (found.length === 0) return undefined;
  const rows = found.map(
    ({ digest, size, mediaType }) =>
      html`<tr><td><code>${digest}</code></td><td>${mediaType}</td><td class="n">${formatBytes(size)}</td></tr>`,
  );
  return html`<h2>Layers</h2><table>${rows}</table>`;
}

function referrers(name: RepositoryName, { referrers: found }: ImageDetails): Html | undefined {
  if (found.length === 0) return undefined;
  const rows = found.map(
    ({ digest, artifactType, size }) =>
      html`<tr><td>${linkTo(name, digest)}</td><td>${artifactType}</td><td class="n">${formatBytes(size)}</td></tr>`,
  );
  return html`<h2>Attached</h2><table>${rows}</table>`;
}

function linkTo(name: RepositoryName, digest: string): Html {
  return html`<a href="/repositories/${name}@${digest}"><code>${digest}</code></a>`;
}

function config({ config: value }: ImageDetails): Html | undefined {
  return value === undefined ? undefined : html`<h2>Config</h2><pre>${value}</pre>`;
}

function after<T extends string>(sorted: readonly T[], { query }: Exchange): readonly T[] {
  const last = query.get('after') ?? '';
  return sorted.filter((entry) => entry > last).slice(0, rowsOnPage);
}

function more(all: readonly string[], shown: readonly string[], path: string): Html | undefined {
  const last = shown.at(-1);
  if (last === undefined || last === all.at(-1)) return undefined;
  return html`<p><a href="${path}?after=${encodeURIComponent(last)}">More</a></p>`;
}

function hostOf(exchange: Exchange): string {
  return exchange.origin.replace(/^https?:\/\//, '');
}

/** A page of its own, beneath that of a repository where one is given. */
function send(exchange: Exchange, title: string, body: Html, above?: RepositoryName): void {
  const up = above === undefined ? undefined : html` / <a href="/repositories/${above}">${above}</a>`;
  const page = html`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>`;
  const text = `${page.text}${style}</style></head>${html`<body><nav><a href="/">Registry</a>${up}</nav><h1>${title}</h1>${body}</body></html>`.text}\n`;
  exchange.send(
    200,
    {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': policy,
      'X-Content-Type-Options': 'nosniff',
      'Referrer-Policy': 'no-referrer',
      'Cache-Control': 'no-store',
    },
    text,
  );
}

export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes / 1000;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}
