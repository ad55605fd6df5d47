import { setTimeout } from 'node:timers/promises';

/** Asks again and again, until `look` throws no more or the time (ms) is over: for what no event tells a test. */
export async function eventually<T>(look: () => Promise<T> | T, timeout = 20_000): Promise<T> {
  const end = Date.now() + timeout;
  for (;;)
    try {
      return await look();
    } catch (error) {
      if (Date.now() > end) throw error;
      await setTimeout(25);
    }
}
