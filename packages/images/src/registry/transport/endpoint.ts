import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { type Cidr, cidrContains, parseCidr, parseIp, WherryError } from '@wherry/base';
import { readNames } from '../../content/folder-names.ts';
import { isLoopback, type TlsSettings } from './request.ts';

/** How registries are reached. */
export interface RegistrySettings {
  /** Base URLs (`https://mirror.example`) that are asked before a registry itself, by its host (`docker.io`). */
  readonly mirrors?: Readonly<Record<string, readonly string[]>> | undefined;
  /**
   * Hosts (`registry.lan:5000`) and ranges of addresses (`10.0.0.0/8`) that may be spoken to without TLS or with a
   * certificate that nobody vouches for.
   */
  readonly insecure?: readonly string[] | undefined;
  /** Folders `HOST/` with `*.crt` (authorities), `*.cert` and `*.key` (ours); default `/etc/docker/certs.d`. */
  readonly certificates?: string | undefined;
}

/** A registry, or a mirror of one. */
export interface Endpoint {
  /** Base URLs of its API (`…/v2/`), tried in order. */
  readonly bases: readonly URL[];
  readonly tls: TlsSettings;
  readonly isMirror: boolean;
}

/** Where the images of a host are found, best first. */
export async function endpointsOf(host: string, settings: RegistrySettings): Promise<Endpoint[]> {
  const mirrors: Endpoint[] = [];
  for (const mirror of settings.mirrors?.[host] ?? []) {
    const url = URL.canParse(mirror) ? new URL(mirror) : undefined;
    if (!url || !/^https?:$/.test(url.protocol)) throw new WherryError('invalid', `the mirror ${mirror} is no URL`);
    const base = new URL('v2/', `${url.href.replace(/\/+$/, '')}/`);
    const tls = await tlsOf(url.host, await isInsecure(url.host, settings), settings);
    mirrors.push({ bases: [base], tls, isMirror: true });
  }
  return [...mirrors, await endpointOf(host, settings)];
}

/** The registry itself. */
export async function endpointOf(host: string, settings: RegistrySettings): Promise<Endpoint> {
  const name = host === 'docker.io' ? 'registry-1.docker.io' : host;
  const insecure = await isInsecure(name, settings);
  checkPort(name, insecure);
  const tls = await tlsOf(name, insecure, settings);
  const secure = new URL(`https://${name}/v2/`);
  if (!insecure) return { bases: [secure], tls, isMirror: false };
  const plain = new URL(`http://${name}/v2/`);
  return { bases: tls.ca === undefined ? [plain, secure] : [secure, plain], tls, isMirror: false };
}

/** Go finds ports that are none when it dials. Throws `unavailable`. */
function checkPort(name: string, insecure: boolean): void {
  const port = /:(\d+)$/.exec(name)?.[1];
  if (port === undefined || Number(port) <= 65_535) return;
  const url = `${insecure ? 'http' : 'https'}://${name}/v2/`;
  throw new WherryError('unavailable', `Get "${url}": dial tcp: address ${port}: invalid port`);
}

/** A name is insecure where one of its addresses is, as dockerd has it. */
async function isInsecure(host: string, { insecure = [] }: RegistrySettings): Promise<boolean> {
  const name = host.replace(/:\d+$/, '');
  if (isLoopback(name) || insecure.includes(host)) return true;
  const ranges = insecure.filter((entry) => entry.includes('/')).map((entry) => parseCidr(entry));
  return ranges.length > 0 && (await isWithin(name.replace(/^\[|\]$/g, ''), ranges));
}

async function isWithin(name: string, ranges: readonly Cidr[]): Promise<boolean> {
  // A name that nobody knows is asked for below, and that fails in its own words.
  const found = isIP(name) ? [{ address: name }] : await lookup(name, { all: true }).catch(() => []);
  const addresses = found.map(({ address }) => parseIp(address)).filter((address) => address !== undefined);
  return ranges.some((range) => addresses.some((address) => cidrContains(range, address)));
}

/** Bytes; a host's folder is named as it is. */
const longestFileName = 255;

async function tlsOf(host: string, insecure: boolean, settings: RegistrySettings): Promise<TlsSettings> {
  const folder = join(settings.certificates ?? '/etc/docker/certs.d', host);
  const names = host.length > longestFileName ? [] : (await readNames(folder)).sort();
  const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');
  const authorities = await Promise.all(names.filter((name) => name.endsWith('.crt')).map(read));
  const certificate = names.find((name) => name.endsWith('.cert'));
  const ours =
    certificate === undefined
      ? {}
      : { cert: await read(certificate), key: await read(certificate.replace(/\.cert$/, '.key')) };
  return {
    ...ours,
    ...(authorities.length > 0 && { ca: [...rootCertificates, ...authorities] }),
    // An authority that was given is what the certificate must come from, even of this machine's own registry.
    rejectUnauthorized: authorities.length > 0 || !insecure,
  };
}
