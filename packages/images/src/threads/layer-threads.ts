import { TaskThreads } from '@wherry/base';
import type { LayerTasks } from './layer-task.ts';

export type LayerThreads = TaskThreads<LayerTasks>;

export function createLayerThreads(): LayerThreads {
  return new TaskThreads({ package: 'images', name: 'image-layers' });
}
