import { serveTasks } from '@wherry/base';
import type { LayerTasks } from '../threads/layer-task.ts';
import { layerWork } from '../threads/layer-work.ts';

// A thread that works on one layer at a time.
serveTasks<LayerTasks>(layerWork);
