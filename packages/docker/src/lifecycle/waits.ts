import { deferred } from '@wherry/base';
import type { Container, Ending } from '../containers/container.ts';

export interface WaitResult {
  readonly StatusCode: number;
  readonly Error?: { readonly Message: string };
}

/** Waits for a container's end. The waiter is in place when this returns. */
export function waitFor(
  container: Container,
  condition: 'not-running' | 'next-exit' | 'removed',
  signal: AbortSignal,
): Promise<WaitResult> {
  const end = endOf(container, condition);
  const aborted = deferred<never>();
  const abort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  return Promise.race([end.then(resultOf), aborted.promise]).finally(() => signal.removeEventListener('abort', abort));
}

function endOf(container: Container, condition: 'not-running' | 'next-exit' | 'removed'): Promise<Ending> {
  if (condition === 'removed') return container.removal();
  const runs = container.alive || container.phase === 'restarting';
  if (condition === 'not-running' && !runs) return Promise.resolve(container.ending);
  return container.nextEnd();
}

function resultOf({ exitCode, error }: Ending): WaitResult {
  return error === '' ? { StatusCode: exitCode } : { StatusCode: exitCode, Error: { Message: error } };
}

/** Resolves once it neither runs nor is about to. */
export async function settledEnd(container: Container): Promise<void> {
  while (container.alive || container.phase === 'restarting') await container.nextEnd();
}
