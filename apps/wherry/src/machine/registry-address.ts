import { isIP } from 'node:net';
import { WherryError } from '@wherry/base';

/** Where the registry of a machine answers. */
export interface RegistryAddress {
  readonly address: string;
  readonly port: number;
}

export const defaultRegistryAddress = '127.0.0.1:5000';

/** Reads `ADDR:PORT`, `[ADDR]:PORT`, `ADDR` or `PORT`. Throws `invalid`. */
export function parseRegistryAddress(text: string): RegistryAddress {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(text) ?? [];
  const isPort = port === undefined && /^\d+$/.test(plain ?? '');
  const address = bracketed ?? (isPort ? '127.0.0.1' : plain);
  const number = Number(isPort ? plain : (port ?? 5000));
  if (address === undefined || isIP(address) === 0 || number < 1 || number > 65_535) {
    throw new WherryError('invalid', 'it must be an address and a port, such as 127.0.0.1:5000');
  }
  return { address, port: number };
}
