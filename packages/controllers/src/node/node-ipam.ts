import type { V1Node } from '@wherry/api';
import { WherryError } from '@wherry/base';
import { keyOf, resources } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';

/** The lowest range of `mask` bits within an IPv4 range that is not taken; `undefined` when all are. Error `invalid`. */
export function freeRange(cluster: string, mask: number, taken: ReadonlySet<string>): string | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cluster);
  const [a, b, c, d, bits] = (match ?? []).slice(1).map(Number) as [number, number, number, number, number];
  if (!match || [a, b, c, d].some((part) => part > 255) || bits > mask || mask > 30)
    throw new WherryError('invalid', `${cluster} is no IPv4 range that holds ranges of /${mask}`);
  const size = 2 ** (32 - mask);
  const width = 2 ** (32 - bits);
  const address = ((a * 256 + b) * 256 + c) * 256 + d;
  const start = address - (address % width);
  for (let at = start; at < start + width; at += size) {
    const text = [24, 16, 8, 0].map((shift) => Math.floor(at / 2 ** shift) % 256).join('.');
    if (!taken.has(`${text}/${mask}`)) return `${text}/${mask}`;
  }
  return undefined;
}

/** Gives each node without one a range for its pods. Nodes are done one after the other, so no range is given twice. */
export function nodeIpamController(
  context: ControllerContext,
  clusterCidr: string | undefined,
  mask: number,
): Controller {
  const { client, informers } = context;
  return defineController(context, {
    name: 'node-ipam-controller',
    kind: { apiVersion: 'v1', kind: 'Node' },
    workers: 1,
    start({ queue, events }) {
      const nodes = informers.informer<V1Node>(resources.nodes);
      /** Given by us and perhaps not in the local copy yet. */
      const given = new Map<string, string>();
      return {
        synced: [nodes.synced],
        subscriptions: [
          nodes.onChange(({ type, object }) => {
            if (type === 'deleted') given.delete(keyOf(object));
            if (clusterCidr === undefined) return;
            if (type === 'deleted') for (const node of nodes.list()) if (!node.spec?.podCIDR) queue.add(keyOf(node));
            if (type !== 'deleted' && !object.spec?.podCIDR) queue.add(keyOf(object));
          }),
        ],
        async reconcile(name) {
          const node = nodes.get(name);
          if (clusterCidr === undefined || node === undefined || node.spec?.podCIDR) return;
          const taken = new Set([...given.entries()].filter(([key]) => key !== name).map(([, range]) => range));
          for (const other of nodes.list()) if (other.spec?.podCIDR) taken.add(other.spec.podCIDR);
          const range = given.get(name) ?? freeRange(clusterCidr, mask, taken);
          if (range === undefined) {
            events.event(node, 'Normal', 'CIDRNotAvailable', `Node ${name} status is now: CIDRNotAvailable`);
            return;
          }
          given.set(name, range);
          await client.patch<V1Node>(resources.nodes, { name }, 'merge', {
            spec: { podCIDR: range, podCIDRs: [range] },
          });
        },
      };
    },
  });
}
