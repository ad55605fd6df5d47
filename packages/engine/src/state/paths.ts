import { join } from 'node:path';

/** Where everything of an engine is. */
export interface EnginePaths {
  readonly sandboxRecords: string;
  readonly containerRecords: string;
  /** `<id>/upper` and `<id>/work` of each container. */
  readonly layers: string;
  /** What is between the layers of an image and that of a container, where one wants it. */
  readonly initLayers: string;
  /** Exit codes, one file a container, written by the monitors. */
  readonly exits: string;
  readonly runtimeState: string;
  /** Pin of the mount namespace in which the OCI runtime runs on a hybrid cgroup layout. */
  readonly runtimeNamespace: string;
  readonly sandboxes: string;
  readonly containers: string;
  namespaces(sandboxId: string): string;
  sandbox(id: string): string;
  /** The OCI bundle. */
  container(id: string): string;
  rootfs(id: string): string;
  layer(id: string): string;
}

export function enginePaths(rootDirectory: string, runDirectory: string): EnginePaths {
  const sandboxes = join(runDirectory, 'sandboxes');
  const containers = join(runDirectory, 'containers');
  const layers = join(rootDirectory, 'layers');
  return {
    sandboxRecords: join(rootDirectory, 'sandboxes.journal'),
    containerRecords: join(rootDirectory, 'containers.journal'),
    layers,
    initLayers: join(rootDirectory, 'init-layers'),
    exits: join(runDirectory, 'exits'),
    runtimeState: join(runDirectory, 'runtime'),
    runtimeNamespace: join(runDirectory, 'runtime-namespace'),
    sandboxes,
    containers,
    namespaces: (id) => join(runDirectory, 'namespaces', id),
    sandbox: (id) => join(sandboxes, id),
    container: (id) => join(containers, id),
    rootfs: (id) => join(containers, id, 'rootfs'),
    layer: (id) => join(layers, id),
  };
}
