import { open, stat } from 'node:fs/promises';
import type { ContainerStatus } from '@wherry/runtime';
import { tailLines } from '../streams/log-tail.ts';
import { podLabels } from './labels.ts';

const messageLimit = 4096; // bytes; upstream's limits of both sources
const logLimit = 2048;
const logLines = 80;

/** What an ended container left as its message: the file, or the end of its log. Empty text when there is none. */
export async function terminationMessage(run: ContainerStatus): Promise<string> {
  const file = run.annotations[podLabels.terminationMessageFile];
  const text = file === undefined ? '' : await readStart(file, messageLimit);
  if (text !== '' || run.exitCode === 0) return text;
  if (run.annotations[podLabels.terminationMessagePolicy] !== 'FallbackToLogsOnError') return text;
  const tail = await tailLines(run.logPath, logLines);
  const bytes = Buffer.from(tail);
  return bytes.subarray(Math.max(bytes.length - logLimit, 0)).toString();
}

async function readStart(path: string, limit: number): Promise<string> {
  try {
    // The container could write to this file only, but it may have grown without bound.
    if (!(await stat(path)).isFile()) return '';
    const file = await open(path, 'r');
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(limit), 0, limit, 0);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
}
