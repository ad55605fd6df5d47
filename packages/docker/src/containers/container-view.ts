import type { ContainerView, ViewMount } from '../files/container-files.ts';
import type { Container } from './container.ts';
import type { DockerContext } from './context.ts';

/** Opens a container's root for work on its files, with its volumes mounted on the host while it is open. */
export async function openContainerView(
  context: DockerContext,
  { id, record, alive }: Container,
): Promise<ContainerView> {
  // A name of its own: the container's own hold of a volume's file system ends with its run.
  const user = `${id}-files-${context.random.hex(8)}`;
  const opened: string[] = [];
  const close = async (): Promise<void> => {
    for (const name of opened) await context.volumes.unmount(name, user);
  };
  try {
    const mounts: ViewMount[] = [];
    for (const { Type, Name, Source, Destination, RW } of record.mounts) {
      if (Type !== 'bind' && Type !== 'volume') continue;
      let hostPath = Source;
      if (Type === 'volume' && Name !== undefined) {
        hostPath = await context.volumes.mount(Name, user);
        opened.push(Name);
      }
      mounts.push({ containerPath: Destination, hostPath, readOnly: !RW });
    }
    const depth = (path: string): number => path.split('/').length;
    mounts.sort((a, b) => depth(a.containerPath) - depth(b.containerPath));
    const root = await context.engine.openRootfs(id);
    return {
      root,
      mounts,
      readOnly: record.host.ReadonlyRootfs,
      user: record.config.User,
      running: alive,
      [Symbol.asyncDispose]: async () => {
        root[Symbol.dispose]();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
