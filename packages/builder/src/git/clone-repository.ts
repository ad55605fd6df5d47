import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { removeTree, WherryError } from '@wherry/base';
import { resolveWithin, statusOf } from '../files/resolve-within.ts';
import { contextLimits } from '../files/unpack-context.ts';
import { parseGitAddress } from './git-address.ts';
import { type GitOptions, runGit } from './run-git.ts';

export interface ClonedRepository {
  /** What was asked for of it, on disk. */
  readonly folder: string;
  /** The commit's name, 40 digits or more. */
  readonly commit: string;
}

/** What a server may make a build wait for, all commands of git together (ms). */
const longestClone = 30 * 60_000;

export interface CloneOptions {
  readonly keepsHistory: boolean;
  readonly signal: AbortSignal;
  /** Default: half an hour (ms). */
  readonly longest?: number;
  /** Default: as much as a whole context may have (bytes). */
  readonly largestFile?: number;
}

/**
 * Fetches one commit of a repository into an empty folder, its submodules too; without `keepsHistory` git's own files are
 * taken away. Throws `invalid`, `unsupported` (ssh, no git on the machine), `tooLarge`, `unavailable` with git's words, or
 * where it takes too long.
 */
export async function cloneRepository(
  address: string,
  folder: string,
  { keepsHistory, signal, longest = longestClone, largestFile = contextLimits.bytes }: CloneOptions,
): Promise<ClonedRepository> {
  const limit = AbortSignal.timeout(longest);
  try {
    return await cloneWithin(address, folder, keepsHistory, { signal: AbortSignal.any([signal, limit]), largestFile });
  } catch (error) {
    if (!limit.aborted || signal.aborted) throw error;
    const minutes = Math.round(longest / 60_000);
    throw new WherryError('unavailable', `error fetching: ${address} took longer than ${minutes} minutes`, {
      cause: error,
    });
  }
}

async function cloneWithin(
  address: string,
  folder: string,
  keepsHistory: boolean,
  options: GitOptions,
): Promise<ClonedRepository> {
  const { url, ref, folder: wanted } = parseGitAddress(address);
  const git = async (what: string, ...args: readonly string[]): Promise<string> => {
    const { exitCode, output } = await runGit(folder, args, options);
    if (exitCode === 0) return output;
    throw new WherryError('unavailable', `error ${what}: ${output}: exit status ${exitCode}`);
  };
  await git('initializing', 'init', '--quiet');
  await git('adding the remote', 'remote', 'add', 'origin', url);
  await fetchRef(folder, ref, git, options);
  await git(`checking out ${ref}`, 'checkout', '--quiet', await commitOf(folder, ref, options));
  const [commit = ''] = /^[0-9a-f]{40,64}$/m.exec(await git('reading the commit', 'rev-parse', 'HEAD')) ?? [];
  if (existsSync(join(folder, '.gitmodules'))) {
    const update = ['submodule', 'update', '--init', '--recursive', '--depth=1'];
    await git('initializing submodules', ...update);
  }
  const root = join(folder, resolveWithin(folder, wanted));
  const status = statusOf(root);
  if (status === undefined) throw new WherryError('invalid', `${wanted}: no such file or directory`);
  if (!status.isDirectory()) throw new WherryError('invalid', `error setting git context, not a directory: ${wanted}`);
  if (!keepsHistory) await removeTree(join(folder, '.git'));
  return { folder: root, commit };
}

type Git = (what: string, ...args: readonly string[]) => Promise<string>;

/** No more than the commit where the server can do that, else all that leads to it, at last everything. */
async function fetchRef(folder: string, ref: string, git: Git, options: GitOptions): Promise<void> {
  const tags = '--no-tags';
  const shallow = await runGit(folder, ['fetch', '--quiet', tags, '--depth', '1', 'origin', '--', ref], options);
  if (shallow.exitCode === 0) return;
  if (!/^[0-9a-f]{7,64}$/.test(ref)) {
    await git('fetching', 'fetch', '--quiet', tags, 'origin', '--', ref);
    return;
  }
  // Commits that no name leads to are not given by their number.
  await git('fetching', 'fetch', '--quiet', '--tags', 'origin', '--', '+refs/heads/*:refs/remotes/origin/*');
}

/** A commit by its number, where everything had to be fetched; else what was fetched. */
async function commitOf(folder: string, ref: string, options: GitOptions): Promise<string> {
  if (!/^[0-9a-f]{7,64}$/.test(ref)) return 'FETCH_HEAD';
  const known = await runGit(folder, ['rev-parse', '--quiet', '--verify', `${ref}^{commit}`], options);
  return /^[0-9a-f]{40,64}$/m.exec(known.output)?.[0] ?? 'FETCH_HEAD';
}
