import { type ErrorCode, messageOf, WherryError } from '@wherry/base';
import koffi from 'koffi';
import { inNetworkNamespace } from '../sockets/network-namespace.ts';
import { lowDescriptors } from './low-descriptors.ts';

function load() {
  const library = koffi.load('libnftables.so.1');
  return {
    create: library.func('void *nft_ctx_new(uint32_t flags)'),
    free: library.func('void nft_ctx_free(void *ctx)'),
    bufferOutput: library.func('int nft_ctx_buffer_output(void *ctx)'),
    bufferError: library.func('int nft_ctx_buffer_error(void *ctx)'),
    output: library.func('const char *nft_ctx_get_output_buffer(void *ctx)'),
    error: library.func('const char *nft_ctx_get_error_buffer(void *ctx)'),
    setOutput: library.func('void nft_ctx_output_set_flags(void *ctx, unsigned int flags)'),
    run: library.func('int nft_run_cmd_from_buffer(void *ctx, const char *commands)'),
  };
}

let library: ReturnType<typeof load> | undefined;

const mostAttempts = 10;
const outputFlag = { json: 1 << 4 } as const;

/** The kernel's reasons, as libnftables words them (strerror(3) in the C locale). */
const reasons: readonly (readonly [RegExp, ErrorCode])[] = [
  [/No such file or directory/, 'notFound'],
  [/File exists/, 'alreadyExists'],
  [/Operation not permitted/, 'forbidden'],
  [/Device or resource busy/, 'conflict'],
  [/Interval overlaps|conflicting/i, 'conflict'],
  [/Operation not supported|Protocol not supported/, 'unsupported'],
  [/No space left|Too many open files|Message too long|No buffer space/, 'exhausted'],
];

/**
 * nftables through libnftables (libnftables(3)) inside the process. A call is one transaction:
 * everything in it happens or nothing does. Calls block: 0.1 to 0.3 ms for a few commands, and
 * about 5 µs more for each of many.
 */
export class Nftables implements Disposable {
  #context: unknown;
  readonly #netns: string | undefined;

  private constructor(context: unknown, netns: string | undefined) {
    this.#context = context;
    this.#netns = netns;
  }

  /** Works on the rules of the network namespace at the path (default: this process's). Throws `unavailable` when the library is not installed. */
  static open({ netns }: { netns?: string | undefined } = {}): Nftables {
    let nft: ReturnType<typeof load>;
    try {
      nft = library ??= load();
    } catch (cause) {
      throw new WherryError('unavailable', 'libnftables.so.1 cannot be loaded: install the package libnftables1', {
        cause,
      });
    }
    const { create, free } = nft;
    const opened = (): unknown => lowDescriptors().open(() => create(0), free);
    const context: unknown = inNetworkNamespace(netns, opened);
    if (context === null) throw new WherryError('internal', 'nft_ctx_new failed');
    nft.bufferOutput(context);
    nft.bufferError(context);
    return new Nftables(context, netns);
  }

  /** Runs commands in nft(8)'s language as one transaction. Throws `notFound`, `alreadyExists`, `invalid` … with nft's own text. */
  run(commands: string): void {
    this.#call(commands, 0);
  }

  /** Runs `list …` commands and gives the objects of libnftables-json(5), without the meta information. */
  list(command: string): Record<string, unknown>[] {
    const text = this.#call(command, outputFlag.json);
    const { nftables = [] } = JSON.parse(text || '{}') as { nftables?: Record<string, unknown>[] };
    return nftables.filter((object) => !('metainfo' in object));
  }

  /** Runs `list …` commands and gives nft's text. */
  listText(command: string): string {
    return this.#call(command, 0);
  }

  [Symbol.dispose](): void {
    if (this.#context === undefined) return;
    library?.free(this.#context);
    lowDescriptors().keep();
    this.#context = undefined;
  }

  /** Somebody else changed the rules while the library read them, or a signal came: nothing was done, and it is tried again. */
  #call(commands: string, flags: number): string {
    for (let attempt = 1; ; attempt++) {
      try {
        return this.#callOnce(commands, flags);
      } catch (error) {
        if (attempt >= mostAttempts || !/Interrupted system call/.test(messageOf(error))) throw error;
      }
    }
  }

  #callOnce(commands: string, flags: number): string {
    if (this.#context === undefined || library === undefined) throw new Error('this nftables context is disposed');
    const nft = library;
    const context = this.#context;
    nft.setOutput(context, flags);
    // Entered for every call: later versions of the library open their netlink socket when they need it, all of them open
    // another one when a reading was disturbed.
    const run = (): number => nft.run(context, commands) as number;
    const result = inNetworkNamespace(this.#netns, () => lowDescriptors().lend(run));
    // Reading a buffer empties it.
    const output = (nft.output(context) as string | null) ?? '';
    const error = (nft.error(context) as string | null) ?? '';
    if (result === 0) return output;
    const code = reasons.find(([reason]) => reason.test(error))?.[1] ?? 'invalid';
    throw new WherryError(code, `nftables: ${error.trim().slice(0, 2000) || 'failed without a reason'}`);
  }
}
