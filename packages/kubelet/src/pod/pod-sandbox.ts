import { rm } from 'node:fs/promises';
import { messageOf } from '@wherry/base';
import { podLogDirectory } from './container-starter.ts';
import { podDns } from './dns.ts';
import { type ObservedPod, runsOf } from './labels.ts';
import type { PodObserver } from './pod-observer.ts';
import type { PodScope } from './pod-scope.ts';
import { sandboxConfig } from './sandbox-config.ts';

/** Makes the pod's sandbox, in place of one that broke; false (with an Event and another try later) when it cannot. */
export async function makeSandbox(scope: PodScope, observed: ObservedPod, attempt: number): Promise<boolean> {
  const { node, events, timer } = scope;
  const pod = scope.pod();
  const old = observed.sandboxes[0];
  if (old) {
    events.record('Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
    await node.runtime.stopPodSandbox(old.id);
  }
  try {
    const [dns, runtimeHandler] = await Promise.all([node.hostDns(), node.runtimeHandler(pod)]);
    await node.runtime.runPodSandbox(
      sandboxConfig(pod, {
        attempt,
        logDirectory: podLogDirectory(node.logDirectory, pod),
        dns: podDns(pod, node.clusterDns, dns),
        cgroupRoot: node.cgroupRoot,
        runtimeHandler,
        nodeName: node.nodeName,
      }),
    );
    return true;
  } catch (error) {
    events.record('Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${messageOf(error)}`);
    timer.retry();
    return false;
  }
}

/** Removes what is older than the newest run and the one before it of each container, and sandboxes left empty. */
export async function collectDead({ node }: PodScope, observed: ObservedPod, observer: PodObserver): Promise<void> {
  const { runtime } = node;
  const names = new Set(observed.containers.map(({ metadata }) => metadata.name));
  const kept = new Set(observed.sandboxes[0] ? [observed.sandboxes[0].id] : []);
  for (const name of names) {
    const runs = runsOf(observed, name);
    const dead = runs.filter(({ state }, at) => at > 1 && state !== 'running');
    for (const run of dead) {
      await runtime.removeContainer(run.id);
      await rm(run.logPath, { force: true });
      observer.forget(run.id);
    }
    for (const run of runs) if (!dead.includes(run)) kept.add(run.sandboxId);
  }
  for (const sandbox of observed.sandboxes) {
    if (kept.has(sandbox.id)) continue;
    await runtime.stopPodSandbox(sandbox.id);
    await runtime.removePodSandbox(sandbox.id);
  }
}
