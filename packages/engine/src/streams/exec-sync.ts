import type { Readable } from 'node:stream';
import { type Clock, WherryError } from '@wherry/base';
import type { ExecResult } from '@wherry/runtime';
import type { ExecSession } from './exec.ts';

/** Bytes kept of each output (containerd's bound); the rest is read and dropped. */
const longestOutput = 16 << 20;

/** Waits for a command and collects its output; kills it after the time. */
export async function collectExec(session: ExecSession, timeoutSeconds: number, clock: Clock): Promise<ExecResult> {
  await using running = session;
  const outputs = [collect(running.stdout), collect(running.stderr)] as const;
  let late = false;
  using _ =
    timeoutSeconds > 0
      ? clock.after(timeoutSeconds * 1000, () => {
          late = true;
          running.kill();
          // What it started may hold the outputs open.
          running.stdout?.destroy();
          running.stderr?.destroy();
        })
      : undefined;
  const exitCode = await running.exit.catch((error: unknown) => {
    if (!late) throw error;
    return 0;
  });
  if (late)
    throw new WherryError(
      'timeout',
      `failed to exec in container: timeout ${timeoutSeconds}s exceeded: context deadline exceeded`,
    );
  return { stdout: Buffer.concat(outputs[0]), stderr: Buffer.concat(outputs[1]), exitCode };
}

function collect(stream: Readable | undefined): Buffer[] {
  const chunks: Buffer[] = [];
  let length = 0;
  stream?.on('error', () => undefined);
  stream?.on('data', (chunk: Buffer) => {
    if (length < longestOutput) chunks.push(chunk.subarray(0, longestOutput - length));
    length += chunk.length;
  });
  return chunks;
}
