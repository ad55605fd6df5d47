import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1Deployment, V1Node, V1Pod } from '@wherry/api';
import { codeOf, WherryError } from '@wherry/base';
import { type ApiClient, createHttpApiClient, parseKubeconfig, resources } from '@wherry/client';
import { demoImage, demoNamespace, demoNodePort, demoObjects } from '../demo/objects.ts';
import { demoServer, serverPath } from '../demo/server.ts';
import type { ClusterConfig } from '../machine/cluster-config.ts';
import { adminKubeconfigPath } from '../machine/paths.ts';
import { writeNodeArchive } from '../node-image/archive.ts';
import { nodePath } from '../node-image/node-files.ts';
import { type CliContext, type Command, nameFlag } from './context.ts';
import { sendImages } from './control-client.ts';
import { createProgress } from './progress.ts';
import { knownCluster } from './status.ts';
import { formatTable } from './table.ts';

const patience = 60_000;

export const demoCommand: Command = {
  name: 'demo',
  usage: 'wherry demo [--name NAME]',
  summary: 'Deploy a small web application, made from the Node that runs Wherry',
  flags: [nameFlag],
  async run(flags, context) {
    const config = await knownCluster(context.home, flags.string('name')!);
    const progress = createProgress(context.stderr);
    const client = createHttpApiClient(
      await parseKubeconfig(await readFile(adminKubeconfigPath(config), 'utf8'), (path) => readFile(path, 'utf8')),
    );
    try {
      const node = await onlyNode(client);
      if (!hasImage(node)) {
        progress.start('Making the demo image from this Node');
        await loadImage(config);
      }
      progress.start('Applying the demo');
      for (const { resource, object } of demoObjects())
        await client.patch(
          resource,
          { namespace: resource.namespaced ? demoNamespace : undefined, name: object.metadata!.name! },
          'apply',
          object,
          { fieldManager: 'wherry-demo', force: true },
        );
      progress.start('Waiting for its pods');
      await available(client);
      const address = node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '127.0.0.1';
      const url = `http://${address}:${demoNodePort}/`;
      progress.start(`Asking ${url}`);
      const answer = await (await fetch(url, { signal: AbortSignal.timeout(10_000) })).text();
      progress.done(answer.trim());
      await report(client, url, config, context);
      return 0;
    } catch (error) {
      progress.fail();
      throw error;
    } finally {
      client[Symbol.dispose]();
    }
  },
};

async function onlyNode(client: ApiClient): Promise<V1Node> {
  const { items } = await client.list<V1Node>(resources.nodes);
  if (!items[0]) throw new WherryError('unavailable', 'the cluster has no node');
  return items[0];
}

function hasImage(node: V1Node): boolean {
  return (node.status?.images ?? []).some(({ names }) => names?.includes(demoImage));
}

async function loadImage(config: ClusterConfig): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'wherry-demo-'));
  try {
    const archive = join(folder, 'demo.tar');
    const settings = { Entrypoint: [nodePath, serverPath], ExposedPorts: { '8080/tcp': {} } };
    const files = [{ target: serverPath, text: demoServer }];
    await writeNodeArchive(archive, { reference: demoImage, files, config: settings });
    await sendImages(config, createReadStream(archive));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Resolves when all replicas of the demo are available. */
async function available(client: ApiClient): Promise<void> {
  const signal = AbortSignal.timeout(patience);
  const done = (deployment: V1Deployment): boolean =>
    (deployment.status?.observedGeneration ?? 0) >= (deployment.metadata?.generation ?? 0) &&
    (deployment.status?.availableReplicas ?? 0) >= (deployment.spec?.replicas ?? 1) &&
    deployment.status?.updatedReplicas === deployment.status?.replicas;
  const { items, resourceVersion } = await client.list<V1Deployment>(resources.deployments, {
    namespace: demoNamespace,
  });
  if (items.some(done)) return;
  try {
    for await (const event of client.watch<V1Deployment>(resources.deployments, {
      namespace: demoNamespace,
      resourceVersion,
      signal,
    }))
      if (event.type !== 'BOOKMARK' && done(event.object)) return;
  } catch (error) {
    if (codeOf(error) !== 'cancelled' && !signal.aborted) throw error;
  }
  throw new WherryError(
    'timeout',
    `the demo's pods were not ready within ${patience / 1000} s; look at "kubectl -n ${demoNamespace} get events"`,
  );
}

async function report(client: ApiClient, url: string, config: ClusterConfig, { stdout }: CliContext): Promise<void> {
  const { items } = await client.list<V1Pod>(resources.pods, { namespace: demoNamespace });
  const rows = items.map((pod) => [
    pod.metadata!.name!,
    pod.status?.phase ?? '',
    pod.status?.podIP ?? '',
    pod.spec?.nodeName ?? '',
  ]);
  const named = config.name === 'wherry' ? '' : ` --name ${config.name}`;
  stdout.write(`\n${formatTable(['POD', 'PHASE', 'ADDRESS', 'NODE'], rows)}\n\n`);
  stdout.write(`The demo is at ${url}\n\nTry:\n`);
  stdout.write(`  eval "$(bin/wherry env${named})"\n`);
  for (const line of [
    `kubectl -n ${demoNamespace} get deploy,rs,pod,svc`,
    `kubectl -n ${demoNamespace} scale deploy hello --replicas=5`,
    `kubectl -n ${demoNamespace} logs -l app=hello --prefix`,
    `kubectl -n ${demoNamespace} exec -it deploy/hello -- sh`,
    `kubectl -n ${demoNamespace} delete pod -l app=hello   # and watch them come back`,
  ])
    stdout.write(`  ${line}\n`);
  stdout.write(`  bin/wherry down${named}\n`);
}
