import { WherryError } from '@wherry/base';

/** A repository with what is wanted of it. */
export interface GitAddress {
  readonly url: string;
  /** Branch, tag or commit; `HEAD` where none is named. */
  readonly ref: string;
  /** Below the repository's root; empty: the root. */
  readonly folder: string;
}

/** Whether docker takes an address for that of a repository. */
export function isGitAddress(text: string): boolean {
  if (/^(?:git:\/\/|ssh:\/\/|git@|github\.com\/)/.test(text)) return true;
  return /^https?:\/\/[^#?]+\.git(?:#|$)/.test(text);
}

/**
 * `https://host/repository.git#ref:folder`, `git://…`, `github.com/…`. Throws `invalid` for what git might take for an
 * option, `unsupported` for ssh: the machine's keys are not a Dockerfile's to use.
 */
export function parseGitAddress(text: string): GitAddress {
  const hash = text.indexOf('#');
  const address = hash < 0 ? text : text.slice(0, hash);
  const [ref = '', ...folder] = hash < 0 ? [] : text.slice(hash + 1).split(':');
  const url = address.startsWith('github.com/') ? `https://${address}` : address;
  if (/^(?:ssh:\/\/|[^/:@]+@[^/:]+:)/.test(url)) {
    throw new WherryError('unsupported', `${address}: repositories are fetched by https, http and git, not by ssh`);
  }
  if (!/^(?:https?|git):\/\/[^/-]/.test(url))
    throw new WherryError('invalid', `invalid repository address: ${address}`);
  if (ref.startsWith('-') || /[\0-\x20\x7f~^*?[\\]|\.\./.test(ref)) {
    throw new WherryError('invalid', `invalid refspec: ${ref}`);
  }
  return { url, ref: ref || 'HEAD', folder: folder.join(':') };
}
