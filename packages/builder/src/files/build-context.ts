import ignore from '@balena/dockerignore';
import { WherryError } from '@wherry/base';
import { readFileBeneath } from '@wherry/linux';
import { SourceTree } from './source-tree.ts';

/** A build context, and what of it is to be left out. */
export interface ContextSpec {
  readonly context: string;
  readonly dockerfileName: string;
  readonly ignoredBy?: 'builder' | 'client' | undefined;
}

/** Bytes of an ignore file. */
const largestIgnoreFile = 1024 * 1024;

/** The context's files without those that its ignore file names: `NAME.dockerignore` beside the Dockerfile, or `.dockerignore`. */
export function openContext({ context, dockerfileName, ignoredBy }: ContextSpec): SourceTree {
  const ignored = readIgnored(context, dockerfileName);
  if (ignored === undefined) return new SourceTree(context);
  const { isIgnored, mayReturn, isDockerfiles } = ignored;
  // Clients without BuildKit know of `.dockerignore` alone.
  if (ignoredBy !== 'client' || isDockerfiles)
    return new SourceTree(context, { includes: (path) => !isIgnored(path), mayReturn });
  const sentAnyway = new Set(['.dockerignore', dockerfileName].filter((path) => path !== '' && isIgnored(path)));
  return new SourceTree(context, { includes: (path) => !sentAnyway.has(path) });
}

/** What the ignore file of a context names. */
export interface Ignored {
  readonly isIgnored: (path: string) => boolean;
  /** Below what is ignored, something may not be. */
  readonly mayReturn: boolean;
  /** It is the one of this Dockerfile alone. */
  readonly isDockerfiles: boolean;
}

/** Reads a context's ignore file; `undefined` where none names anything. Throws `invalid`. */
export function readIgnored(context: string, dockerfileName: string): Ignored | undefined {
  const own = dockerfileName === '' ? undefined : `${dockerfileName}.dockerignore`;
  const its = own && readIgnoreFile(context, own);
  const text = its ?? readIgnoreFile(context, '.dockerignore');
  const patterns = (text ?? '')
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (patterns.length === 0) return undefined;
  const filter = ignore().add(patterns);
  const mayReturn = patterns.some((pattern) => pattern.startsWith('!'));
  return { isIgnored: (path) => filter.ignores(path), mayReturn, isDockerfiles: its !== undefined };
}

function readIgnoreFile(context: string, path: string): string | undefined {
  try {
    return readFileBeneath(context, path, largestIgnoreFile)?.toString('utf8');
  } catch (error) {
    throw new WherryError('invalid', `the ignore file ${path} cannot be read`, { cause: error });
  }
}
