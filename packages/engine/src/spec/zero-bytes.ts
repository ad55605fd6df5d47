import type { ProcessSpec } from '@wherry/oci';
import { failedInside, startFailed } from '../runtime/failures.ts';

/**
 * Refuses what no process can be given: a string of C ends with its first zero byte, and crun cuts what comes after it
 * off, so that a value that was checked whole would count in part. In runc's words.
 */
export function refuseZeroBytes({ args, env }: Pick<ProcessSpec, 'args' | 'env'>): void {
  const variable = env.find((text) => text.includes('\0'));
  if (variable !== undefined)
    throw failedInside(String.raw`environment variable value can't contain null(\x00): ${quoted(variable)}`);
  if (args.some((text) => text.includes('\0'))) throw startFailed(`exec: ${quoted(args[0] ?? '')}: invalid argument`);
}

const quoted = (text: string): string => JSON.stringify(text).replaceAll('\\u0000', '\\x00');
