import { serveTasks } from '@wherry/base';
import type { FileTasks } from '../threads/file-task.ts';
import { fileWork } from '../threads/file-work.ts';

// A thread that works on the files of one step at a time.
serveTasks<FileTasks>(fileWork);
