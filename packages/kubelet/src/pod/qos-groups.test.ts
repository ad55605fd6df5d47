import type { V1Pod } from '@wherry/api';
import { silentLogger } from '@wherry/base';
import { expect, test } from 'vitest';
import { QosGroups } from './qos-groups.ts';

const pod = (requests: Record<string, string>, limits: Record<string, string> = {}): V1Pod => ({
  spec: { containers: [{ name: 'c', resources: { requests, limits } }] },
});
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('burstable pods weigh what they ask for together, best-effort ones nothing; each value is set once', async () => {
  const calls: string[] = [];
  let fails = false;
  let pods: V1Pod[] = [];
  const groups = new QosGroups({
    runtime: {
      updateCgroup: async (path, { cpuShares }) => {
        calls.push(`${path} ${cpuShares}`);
        if (fails) throw new Error('no cgroups today');
      },
    },
    cgroupRoot: 'kubepods',
    pods: () => pods,
    log: silentLogger,
  });
  pods = [pod({}), pod({ cpu: '500m' }), pod({ cpu: '1' }, { cpu: '2' }), pod({}, { cpu: '4', memory: '1Gi' })];
  groups.podsChanged();
  groups.podsChanged();
  await turn();
  expect(calls.splice(0)).toEqual(['kubepods/besteffort 2', 'kubepods/burstable 1536']);
  groups.podsChanged();
  await turn();
  expect(calls).toEqual([]);
  pods = [];
  fails = true;
  groups.podsChanged();
  await turn();
  fails = false;
  groups.podsChanged();
  await turn();
  expect(calls).toEqual(['kubepods/burstable 2', 'kubepods/burstable 2']);
});
