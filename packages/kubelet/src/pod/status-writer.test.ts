import type { V1PodCondition, V1PodStatus } from '@wherry/api';
import { describe, expect, it } from 'vitest';

import { statusPatch } from './status-writer.ts';

const ready = (more: Partial<V1PodCondition>): V1PodStatus => ({
  conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z', ...more }],
});

describe('the patch of a pod status', () => {
  it('takes back the reason and the message of a condition that no longer has them', () => {
    const old = ready({
      status: 'False',
      reason: 'ContainersNotReady',
      message: 'containers with unready status: [a]',
    });
    expect(statusPatch(old, ready({}))?.conditions).toEqual([
      { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z', reason: null, message: null },
    ]);
  });

  it('sends no nulls for what was not there, and nothing when nothing differs', () => {
    expect(statusPatch(undefined, ready({}))?.conditions).toEqual(ready({}).conditions);
    expect(statusPatch(ready({ reason: 'A' }), ready({ reason: 'B' }))?.conditions).toEqual([
      { ...ready({ reason: 'B' }).conditions?.[0] },
    ]);
    expect(statusPatch(ready({}), ready({}))).toBeUndefined();
  });
});
