import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';

/** The IPv4 address of the interface with the default route, or `undefined` on a machine without one (proc_net(5), route). */
export async function defaultRouteAddress(): Promise<string | undefined> {
  const table = await readFile('/proc/net/route', 'utf8').catch(() => '');
  const routes = table
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000')
    .sort((a, b) => Number(a[6]) - Number(b[6]));
  const name = routes[0]?.[0];
  if (name === undefined) return undefined;
  return networkInterfaces()[name]?.find(({ family }) => family === 'IPv4')?.address;
}
