import { type RemovalTasks, removalWork } from '../remove-tree-work.ts';
import { serveTasks } from '../serve-tasks.ts';

// A thread that removes one tree at a time.
serveTasks<RemovalTasks>(removalWork);
