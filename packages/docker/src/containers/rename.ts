import { WherryError } from '@wherry/base';
import type { Container } from './container.ts';
import { type DockerContext, save, tell } from './context.ts';
import { withLinksLed } from './link-names.ts';
import { checkedName } from './names.ts';
import { reworded } from './reworded.ts';

/** `docker rename`; networks and others' links know it by its new name. Throws `invalid`, `conflict`. */
export async function renameContainer(context: DockerContext, container: Container, wanted: string): Promise<void> {
  const { registry } = context;
  await container.lock.run(async () => {
    const old = container.name;
    if (wanted.replace(/^\//, '') === old)
      throw new WherryError('invalid', 'Renaming a container with the same name as its current name');
    let name: string;
    try {
      name = checkedName(wanted.startsWith('/') ? wanted : `/${wanted}`);
      registry.reserve(name, container.id);
    } catch (error) {
      throw reworded(error, 'Error when allocating new name');
    }
    container.change({ name });
    await save(context, container, true);
    await context.networks.rename(container.id, name);
    registry.release(old, container.id);
    await leadLinks(context, old, name);
    tell(context, container, 'rename', { oldName: `/${old}` });
  });
}

/** Others' links go on leading to a container that has another name now. */
async function leadLinks(context: DockerContext, old: string, name: string): Promise<void> {
  for (const other of context.registry.all()) {
    const record = withLinksLed(other.record, old, name);
    if (record === undefined) continue;
    other.change(record);
    await save(context, other, true);
  }
}
