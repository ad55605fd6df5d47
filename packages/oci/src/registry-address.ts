import { isIP } from 'node:net';
import { parseCidr, WherryError } from '@wherry/base';

const label = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
/** A domain name or an IPv6 address in brackets, with a port where there is one (distribution/reference). */
const hostPort = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);

/** The URL of a registry's mirror as dockerd keeps it: with a slash at its end. Throws `invalid` in dockerd's words. */
export function parseRegistryMirror(text: string): string {
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(text)?.[1]?.toLowerCase() ?? '';
  if (scheme !== 'http' && scheme !== 'https') throw invalidMirror(`unsupported scheme "${scheme}" in "${text}"`);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw invalidMirror(`"${text}" is not a valid URI`);
  if (/[?#]./.test(text)) throw invalidMirror(`query or fragment at end of the URI "${text}"`);
  if (url.username !== '' || url.password !== '') {
    const shown = text.replace(/\/\/[^@/]*@/, `//${url.username}:xxxxx@`);
    throw invalidMirror(`username/password not allowed in URI "${shown}"`);
  }
  return `${text.replace(/\/$/, '')}/`;
}

/**
 * What `--insecure-registry` names: `host[:port]` or a range of addresses, without a scheme in front. Throws `invalid`
 * in dockerd's words.
 */
export function parseInsecureRegistry(text: string): string {
  if (/^-|-$/.test(text)) {
    throw new WherryError('invalid', `invalid index name (${text}). Cannot begin or end with a hyphen`);
  }
  const registry = text.replace(/^https?:\/\//i, '');
  if (registry.includes('://')) {
    throw new WherryError('invalid', `insecure registry ${registry} should not contain '://'`);
  }
  if (isRange(registry)) return registry;
  const [, host = registry, port] = /^([^:]*|\[[^\]]*\]):([^:]*)$/.exec(registry) ?? [];
  if (!hostPort.test(registry) && isIP(registry) === 0) throw invalidRegistry(registry, `invalid host "${host}"`);
  if (port !== undefined && Number(port) > 65_535) throw invalidRegistry(registry, `invalid port "${port}"`);
  return registry;
}

function isRange(text: string): boolean {
  try {
    parseCidr(text);
    return true;
  } catch {
    return false;
  }
}

function invalidMirror(why: string): WherryError {
  return new WherryError('invalid', `invalid mirror: ${why}`);
}

function invalidRegistry(registry: string, why: string): WherryError {
  return new WherryError('invalid', `insecure registry ${registry} is not valid: ${why}`);
}
