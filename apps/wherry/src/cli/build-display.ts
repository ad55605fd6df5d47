import type { Writable } from 'node:stream';
import { printable } from './table.ts';

/** A line of the answer of `POST /build`. */
export interface BuildMessage {
  readonly stream?: string;
  readonly status?: string;
  readonly id?: string;
  readonly progressDetail?: { readonly current?: number };
  readonly aux?: { readonly ID?: string };
  readonly error?: string;
  readonly errorDetail?: { readonly code?: number; readonly message?: string };
}

/** Prints what a build says: the steps as they come, of downloads what changes. A quiet one gives its id at the end. */
export class BuildDisplay {
  readonly #stdout: Writable;
  readonly #stderr: Writable;
  readonly #quiet: boolean;
  #imageId = '';
  #sent = 0;

  constructor({ stdout, stderr, quiet }: { stdout: Writable; stderr: Writable; quiet: boolean }) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#quiet = quiet;
  }

  /** Of the image that came out, once it did. */
  get imageId(): string {
    return this.#imageId;
  }

  /** Passes a context on and says how large it was. */
  async *counting(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of archive) {
      this.#sent += chunk.length;
      yield chunk;
    }
    if (!this.#quiet) this.#stdout.write(`Sent build context: ${kilobytes(this.#sent)}\n`);
  }

  /** Gives the exit code where the build has failed. */
  add(message: BuildMessage): number | undefined {
    const { stream, status, id, progressDetail, aux, error, errorDetail } = message;
    if (error !== undefined) {
      this.#stderr.write(`${error.trimEnd()}\n`);
      const code = errorDetail?.code;
      return code !== undefined && Number.isInteger(code) && code > 0 && code < 256 ? code : 1;
    }
    if (aux?.ID !== undefined) this.#imageId = aux.ID;
    if (stream !== undefined) {
      const quietId = this.#quiet ? /^(sha256:[0-9a-f]{64})\n$/.exec(stream)?.[1] : undefined;
      if (quietId !== undefined) this.#imageId = quietId;
      // Output of the build's own commands: theirs to colour, as docker's client has it.
      (this.#quiet && quietId === undefined ? this.#stderr : this.#stdout).write(stream);
    } else if (status !== undefined && !this.#quiet && progressDetail?.current === undefined) {
      this.#stdout.write(`${id === undefined ? '' : `${printable(id)}: `}${printable(status)}\n`);
    }
    return undefined;
  }
}

function kilobytes(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(2)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(2)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}
