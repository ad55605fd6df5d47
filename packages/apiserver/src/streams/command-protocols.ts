import type { V1Status } from '@wherry/api';
import { ChannelSocket, type SpdyConnection, type SpdyStream } from '@wherry/http';
import type { WebSocket } from 'ws';
import type { CommandChannels } from './remote-command.ts';

/** Which streams a client asked for. */
export interface Wanted {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** Subprotocols over WebSocket; '' is a client that names none (version 1). */
export const socketProtocols = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
  '',
];

/** Protocol versions over SPDY. */
export const spdyProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io'];

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** Exec and attach over WebSocket (`v4.channel.k8s.io` and its relatives). */
export function socketChannels(socket: WebSocket, protocol: string, wanted: Wanted): CommandChannels {
  const channels = new ChannelSocket(socket, protocol);
  const structured = protocol.startsWith('v4') || protocol.startsWith('v5');
  // An empty message on the first channel tells the client that the connection stands.
  const lowest = wanted.stdout ? channel.stdout : wanted.stderr ? channel.stderr : channel.error;
  void channels.send(lowest, Buffer.alloc(0));
  return {
    stdin: wanted.stdin ? channels.input(channel.stdin) : undefined,
    stdout: wanted.stdout ? channels.output(channel.stdout) : undefined,
    stderr: wanted.stderr && !wanted.tty ? channels.output(channel.stderr) : undefined,
    resize: wanted.tty ? channels.input(channel.resize) : undefined,
    signal: channels.signal,
    finish: async (status) => {
      const text = statusText(status, structured);
      if (text !== '') await channels.send(channel.error, Buffer.from(text));
      channels.close();
    },
  };
}

/** Clients of the first versions read plain text, and nothing when all went well. */
function statusText(status: V1Status, structured: boolean): string {
  if (structured) return JSON.stringify(status);
  return status.status === 'Success' ? '' : (status.message ?? '');
}

/** Collects the streams of an exec or attach over SPDY until all that were asked for are there. */
export class SpdyCommand {
  readonly #streams = new Map<string, SpdyStream>();
  readonly #expected: readonly string[];
  readonly #ready: Promise<void>;
  #resolveReady!: () => void;

  constructor(wanted: Wanted) {
    this.#expected = [
      'error',
      ...(wanted.stdin ? ['stdin'] : []),
      ...(wanted.stdout ? ['stdout'] : []),
      ...(wanted.stderr && !wanted.tty ? ['stderr'] : []),
      ...(wanted.tty ? ['resize'] : []),
    ];
    this.#ready = new Promise((resolve) => {
      this.#resolveReady = resolve;
    });
  }

  add(stream: SpdyStream): void {
    const type = stream.headers.get('streamtype') ?? '';
    // What nobody asked for, or a second one of a kind, would lie unread.
    if (!this.#expected.includes(type) || this.#streams.has(type)) {
      stream.destroy();
      return;
    }
    this.#streams.set(type, stream);
    if (type !== 'stdin' && type !== 'resize') stream.resume();
    if (this.#expected.every((type) => this.#streams.has(type))) this.#resolveReady();
  }

  /** Resolves with the channels; rejects when the client leaves or takes too long (signal). */
  async channels(connection: SpdyConnection, protocol: string, signal: AbortSignal): Promise<CommandChannels> {
    const gone = new AbortController();
    const over = connection.closed.then(() => gone.abort());
    const late = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('timed out waiting for client to create streams')), {
        once: true,
      });
    });
    await Promise.race([this.#ready, late, over.then(() => Promise.reject(new Error('the client went away')))]);
    const structured = protocol.startsWith('v4') || protocol.startsWith('v5');
    const error = this.#streams.get('error')!;
    return {
      stdin: this.#streams.get('stdin'),
      stdout: this.#streams.get('stdout'),
      stderr: this.#streams.get('stderr'),
      resize: this.#streams.get('resize'),
      signal: gone.signal,
      finish: async (status) => {
        await new Promise<void>((resolve) => {
          error.once('close', resolve);
          error.end(statusText(status, structured), () => resolve());
        });
        connection.close();
      },
    };
  }
}
