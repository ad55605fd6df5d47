import { WherryError } from '@wherry/base';

/** An id that the caller chose: 64 hexadecimal digits that nobody has. `undefined` when it leaves the choice to us. */
export function checkedId(
  id: string | undefined,
  kind: 'sandbox' | 'container',
  taken: (id: string) => boolean,
): string | undefined {
  if (id === undefined) return undefined;
  if (!/^[0-9a-f]{64}$/.test(id)) throw new WherryError('invalid', `${JSON.stringify(id)} is not an id`);
  if (taken(id)) throw new WherryError('alreadyExists', `there is a ${kind} ${id} already`);
  return id;
}
