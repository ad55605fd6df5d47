import { parentPort } from 'node:worker_threads';
import { codeOf, errnoOf, messageOf } from '@wherry/base';
import type { TaskAnswer, TaskMessage } from '../threads/layer-task.ts';
import { runTask } from '../threads/run-task.ts';

// A thread that works on one layer at a time.
parentPort!.on('message', ({ id, task, cancel }: TaskMessage) => {
  const flag = new Int32Array(cancel);
  const answer = (message: TaskAnswer): void => parentPort!.postMessage(message);
  runTask(task, () => Atomics.load(flag, 0) !== 0).then(
    (result) => answer({ id, result }),
    (error: unknown) =>
      answer({
        id,
        error: {
          code: codeOf(error) ?? (errnoOf(error) === 'ENOSPC' ? 'exhausted' : 'internal'),
          message: messageOf(error),
        },
      }),
  );
});
