import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { V1Container, V1EphemeralContainer, V1Pod, V1Secret } from '@wherry/api';
import { codeOf, messageOf, WherryError } from '@wherry/base';
import type { ImageStatus, PodSandboxStatus } from '@wherry/runtime';
import type { DownwardFacts, MountedVolumes } from '@wherry/volumes';
import { type RecordEvent, StartFailure } from '../images/image-puller.ts';
import { containerConfig } from './container-config.ts';
import { type ContainerEnvironment, containerEnvironment } from './environment.ts';
import { expand } from './expansion.ts';
import { hookFailure, runHook } from './hooks.ts';
import { hostNetworkHostsFile, hostsFile } from './hosts-file.ts';
import { podLabels } from './labels.ts';
import type { NodeContext } from './node-context.ts';
import type { StartAction } from './plan.ts';
import { checkNonRoot } from './security.ts';

export interface StartRequest {
  readonly pod: V1Pod;
  readonly action: StartAction;
  readonly sandbox: PodSandboxStatus;
  readonly mounted: MountedVolumes;
  readonly facts: DownwardFacts;
  readonly record: RecordEvent;
  readonly signal: AbortSignal;
  /** Called between the start of the process and the postStart hook. */
  readonly onStarted: (containerId: string) => void;
}

/** Starts one container: image, configuration, create, start, postStart. Throws `StartFailure` with the waiting state to show. */
export async function startContainer(node: NodeContext, request: StartRequest): Promise<string> {
  const { pod, action, record, signal } = request;
  const { container } = action;
  const image = await node.puller.ensure({ pod, container, secrets: await pullSecrets(node, pod), record, signal });
  stopIfAborted(signal);
  const config = await configOf(node, request, image);
  stopIfAborted(signal);
  const id = await create(node, request, config);
  record('Normal', 'Created', 'Container created');
  try {
    await node.runtime.startContainer(id);
  } catch (error) {
    record('Warning', 'Failed', `Error: ${messageOf(error)}`);
    throw new StartFailure('RunContainerError', messageOf(error), { cause: error, retryAfterMs: 0 });
  }
  record('Normal', 'Started', 'Container started');
  await postStart(node, request, id);
  return id;
}

function stopIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new WherryError('cancelled', 'the pod is being deleted');
}

async function pullSecrets(node: NodeContext, pod: V1Pod): Promise<V1Secret[]> {
  const names = (pod.spec?.imagePullSecrets ?? []).map(({ name }) => name).filter((name) => name !== undefined);
  const found = await Promise.all(names.map((name) => node.watches.secret(pod.metadata?.namespace ?? '', name)));
  return found.filter((secret) => secret !== undefined);
}

async function configOf(
  node: NodeContext,
  request: StartRequest,
  image: ImageStatus,
): Promise<ReturnType<typeof containerConfig>> {
  const { pod, action, mounted, facts, record } = request;
  const { container } = action;
  const { namespace = '', uid = '' } = pod.metadata ?? {};
  try {
    checkNonRoot(pod, container, image.user);
    const environment = await containerEnvironment(container, {
      pod,
      facts,
      services: node.services(),
      configMap: (name) => node.watches.configMap(namespace, name),
      secret: (name) => node.watches.secret(namespace, name),
    });
    const [volumeMounts, hosts, messageFile, targetId] = await Promise.all([
      node.volumes.containerMounts({
        podUid: uid,
        container,
        mounted,
        expand: (text) => strictExpand(text, environment),
      }),
      writeHosts(node, request),
      makeMessageFile(node, pod, container, action.attempt),
      targetOf(node, request),
      mkdir(join(podLogDirectory(node.logDirectory, pod), container.name), { recursive: true, mode: 0o755 }),
    ]);
    return containerConfig(pod, container, {
      attempt: action.attempt,
      image: image.id,
      environment,
      volumeMounts,
      hostsFile: hosts,
      terminationMessageFile: messageFile,
      memoryCapacity: node.memoryCapacity(),
      targetId,
    });
  } catch (error) {
    record('Warning', 'Failed', `Error: ${messageOf(error)}`);
    // What is missing is watched: its appearance wakes the worker.
    const retry = codeOf(error) === 'notFound' ? {} : { retryAfterMs: 10_000 };
    throw new StartFailure('CreateContainerConfigError', messageOf(error), { cause: error, ...retry });
  }
}

/** The running container that an ephemeral one names as its target. */
async function targetOf(node: NodeContext, { pod, action, sandbox }: StartRequest): Promise<string | undefined> {
  const { targetContainerName: name } = action.container as Partial<V1EphemeralContainer>;
  if (!name) return undefined;
  const labels = { [podLabels.uid]: pod.metadata?.uid ?? '', [podLabels.container]: name };
  const runs = await node.runtime.listContainers({ sandboxId: sandbox.id, labels });
  const target = runs.find(({ state }) => state === 'running');
  if (target === undefined) throw new WherryError('conflict', `unable to find target container ${name}`);
  return target.id;
}

/** `subPathExpr` must not name variables that are not there. */
function strictExpand(text: string, environment: ContainerEnvironment): string {
  return expand(text, (name) => {
    const value = environment.lookup(name);
    if (value === undefined)
      throw new WherryError('invalid', `missing value for variable ${JSON.stringify(name)} in subPathExpr`);
    return value;
  });
}

async function create(
  node: NodeContext,
  { sandbox, action, record }: StartRequest,
  config: ReturnType<typeof containerConfig>,
): Promise<string> {
  try {
    if (action.unstarted !== undefined) await node.runtime.removeContainer(action.unstarted);
    return await node.runtime.createContainer(sandbox.id, config);
  } catch (error) {
    record('Warning', 'Failed', `Error: ${messageOf(error)}`);
    throw new StartFailure('CreateContainerError', messageOf(error), { cause: error, retryAfterMs: 10_000 });
  }
}

async function postStart(node: NodeContext, request: StartRequest, id: string): Promise<void> {
  const { pod, action, record, signal, facts } = request;
  const handler = action.container.lifecycle?.postStart;
  request.onStarted(id);
  if (handler === undefined) return;
  try {
    const host = facts.podIps[0] ?? '127.0.0.1';
    await runHook(
      handler,
      { container: action.container, containerId: id, host },
      { runtime: node.runtime, clock: node.clock, signal },
    );
  } catch (error) {
    record('Warning', 'FailedPostStartHook', 'PostStartHook failed');
    record('Normal', 'Killing', 'FailedPostStartHook');
    await node.runtime.stopContainer(id, pod.spec?.terminationGracePeriodSeconds ?? 30);
    throw new StartFailure('PostStartHookError', hookFailure('PostStartHook', action.container, error), {
      cause: error,
      retryAfterMs: 0,
    });
  }
}

/** `<log directory>/<namespace>_<name>_<uid>`, upstream's layout. */
export function podLogDirectory(logDirectory: string, pod: V1Pod): string {
  const { namespace = '', name = '', uid = '' } = pod.metadata ?? {};
  return join(logDirectory, `${namespace}_${name}_${uid}`);
}

async function writeHosts(node: NodeContext, { pod, facts }: StartRequest): Promise<string> {
  const folder = await node.volumes.podFolder(pod.metadata?.uid ?? '');
  const path = join(folder, 'etc-hosts');
  const own = pod.spec?.hostNetwork === true;
  const text = own ? hostNetworkHostsFile(pod, await hostHosts()) : hostsFile(pod, facts.podIps, node.clusterDomain);
  await writeFile(path, text, { mode: 0o644 });
  return path;
}

async function hostHosts(): Promise<string> {
  return readFile('/etc/hosts', 'utf8').catch(() => '');
}

async function makeMessageFile(
  node: NodeContext,
  pod: V1Pod,
  container: V1Container,
  attempt: number,
): Promise<string> {
  const folder = join(await node.volumes.podFolder(pod.metadata?.uid ?? ''), 'containers', container.name);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const path = join(folder, String(attempt));
  await writeFile(path, '');
  await chmod(path, 0o666); // the container may run as any user
  return path;
}
