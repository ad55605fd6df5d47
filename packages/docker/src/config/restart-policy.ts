import { WherryError } from '@wherry/base';
import type { RestartPolicy } from './types.ts';

/** Throws dockerd's words for what is no restart policy. */
export function checkRestartPolicy({ Name: name, MaximumRetryCount: count }: RestartPolicy): void {
  const refuse = (text: string): never => {
    throw new WherryError('invalid', `invalid restart policy: ${text}`);
  };
  switch (name) {
    case '':
    case 'always':
    case 'unless-stopped':
    case 'no':
      if (count === 0) return;
      refuse(`maximum retry count can only be used with 'on-failure'${count < 0 ? ' and cannot be negative' : ''}`);
      return;
    case 'on-failure':
      if (count < 0) refuse('maximum retry count cannot be negative');
      return;
    default:
      refuse(`unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  }
}

export function isRestarting({ Name: name }: RestartPolicy): boolean {
  return name === 'always' || name === 'unless-stopped' || name === 'on-failure';
}
