import { codeOf, messageOf, WherryError } from '@wherry/base';

/** The same failure with what was tried before its words. */
export function reworded(error: unknown, tried: string, code = codeOf(error) ?? 'internal'): WherryError {
  return new WherryError(code, `${tried}: ${messageOf(error)}`, { cause: error });
}
