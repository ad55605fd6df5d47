import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/**
 * Milliseconds from the call of `change`, which gives an address, until the kernel tells of a rule or element with
 * it: `nft monitor` prints what was committed as it is.
 */
export async function ruleTimes(change: (index: number) => Promise<string>, times: number): Promise<number[]> {
  const monitor = spawn('nft', ['monitor'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const seen = new Map<string, number>();
  let wake = (): void => undefined;
  createInterface({ input: monitor.stdout }).on('line', (line) => {
    const now = performance.now();
    for (const [address] of line.matchAll(/\d+\.\d+\.\d+\.\d+/g)) if (!seen.has(address)) seen.set(address, now);
    wake();
  });
  await new Promise((resolve) => setTimeout(resolve, 300)); // it says nothing once it listens
  try {
    const took: number[] = [];
    for (let index = 0; index < times; index++) {
      const began = performance.now();
      const address = await change(index);
      while (!seen.has(address)) await new Promise<void>((resolve) => (wake = resolve));
      took.push(seen.get(address)! - began);
    }
    return took;
  } finally {
    monitor.kill();
  }
}
