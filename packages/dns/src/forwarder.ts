import { randomInt } from 'node:crypto';
import { type Clock, deferred, type Logger, messageOf, WherryError } from '@wherry/base';
import { bindUdpInNetns, dialInNetns } from '@wherry/linux';
import packet, { type DecodedPacket } from 'dns-packet';
import { AnswerCache, type UpstreamAnswer } from './answer-cache.ts';
import { optRecord, rcodeOf } from './wire.ts';

/** What `Forwarder` needs to know. */
export interface ForwarderOptions {
  /** Addresses of the servers to ask, in order; asked for anew with every query. */
  readonly servers: () => readonly string[];
  readonly port?: number | undefined; // default 53
  /** Path of the network namespace to ask from; default this process's. */
  readonly netns?: string | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

const timeoutMs = 2000;
const rounds = 2;
/** Questions being asked at a time; more are refused instead of piling up. */
const mostInFlight = 512;

/**
 * Asks the servers of the host. The same question asked twice at a time is sent once, which also
 * ends loops: should a server lead back here, its question waits for itself and times out.
 */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #cache: AnswerCache;
  readonly #inFlight = new Map<string, Promise<UpstreamAnswer>>();

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#cache = new AnswerCache(options.clock);
  }

  /** `name` in lower case. Throws `unavailable` when no server answers, `exhausted` under overload. */
  ask(name: string, type: string): Promise<UpstreamAnswer> {
    const key = `${name} ${type}`;
    const known = this.#cache.get(key);
    if (known !== undefined) return Promise.resolve(known);
    const running = this.#inFlight.get(key);
    if (running !== undefined) return running;
    if (this.#inFlight.size >= mostInFlight) {
      return Promise.reject(new WherryError('exhausted', 'too many names are being asked for'));
    }
    const asking = this.#askServers(name, type).finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, asking);
    return asking;
  }

  async #askServers(name: string, type: string): Promise<UpstreamAnswer> {
    let failure: unknown = new WherryError('unavailable', 'the host has no name server');
    for (let round = 0; round < rounds; round++) {
      for (const server of this.#options.servers()) {
        try {
          const answer = await this.#askServer(server, name, type);
          // A server that cannot say leaves the question to the next one.
          if (answer.rcode !== 'SERVFAIL' && answer.rcode !== 'REFUSED') this.#cache.put(`${name} ${type}`, answer);
          else if (round + 1 < rounds || server !== this.#options.servers().at(-1)) continue;
          return answer;
        } catch (error) {
          failure = error;
          this.#options.log.debug('a name server did not answer', { server, name, error: messageOf(error) });
        }
      }
    }
    throw new WherryError('unavailable', `no name server answered for ${name}`, { cause: failure });
  }

  async #askServer(server: string, name: string, type: string): Promise<UpstreamAnswer> {
    const id = randomInt(65_536);
    const query = packet.encode({
      type: 'query',
      id,
      flags: packet.RECURSION_DESIRED,
      questions: [{ name, type: type as 'A', class: 'IN' }],
      additionals: [optRecord],
    });
    const isAnswer = (answer: DecodedPacket): boolean =>
      answer.id === id &&
      answer.type === 'response' &&
      answer.questions?.length === 1 &&
      answer.questions[0]?.name.toLowerCase() === name &&
      answer.questions[0].type === type;
    const answer = await this.#overUdp(server, query, isAnswer);
    return partsOf(answer.flag_tc ? await this.#overTcp(server, query, isAnswer) : answer);
  }

  /** Each question has a socket of its own: an unpredictable port as well as an unpredictable number. */
  async #overUdp(server: string, query: Buffer, isAnswer: (answer: DecodedPacket) => boolean): Promise<DecodedPacket> {
    const { netns, port = 53, clock } = this.#options;
    const socket = await bindUdpInNetns(netns, server.includes(':') ? '::' : '0.0.0.0', 0);
    const answered = deferred<DecodedPacket>();
    const late = (): void => answered.reject(new WherryError('timeout', `${server} did not answer`));
    const timer = clock.after(timeoutMs, late);
    try {
      socket.on('error', answered.reject);
      socket.on('message', (data, from) => {
        const answer = from.port === port && from.address === server ? decode(data) : undefined;
        if (answer && isAnswer(answer)) answered.resolve(answer);
      });
      socket.send(query, port, server, (error) => error && answered.reject(error));
      return await answered.promise;
    } finally {
      timer[Symbol.dispose]();
      socket.close();
    }
  }

  async #overTcp(server: string, query: Buffer, isAnswer: (answer: DecodedPacket) => boolean): Promise<DecodedPacket> {
    const { netns, port = 53, clock } = this.#options;
    const socket = await dialInNetns(netns, server, port, { timeoutMs });
    const timer = clock.after(timeoutMs, () => socket.destroy(new WherryError('timeout', `${server} did not answer`)));
    try {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(query.length);
      socket.write(Buffer.concat([length, query]));
      let received = Buffer.alloc(0);
      for await (const chunk of socket) {
        received = Buffer.concat([received, chunk as Buffer]);
        const size = received.length < 2 ? Number.POSITIVE_INFINITY : received.readUInt16BE(0);
        if (received.length < 2 + size) continue;
        const answer = decode(received.subarray(2, 2 + size));
        if (answer && isAnswer(answer)) return answer;
        break;
      }
      throw new WherryError('unavailable', `${server} gave no answer over TCP`);
    } finally {
      timer[Symbol.dispose]();
      socket.destroy();
    }
  }
}

function decode(data: Buffer): DecodedPacket | undefined {
  try {
    return packet.decode(data);
  } catch {
    return undefined;
  }
}

function partsOf(answer: DecodedPacket): UpstreamAnswer {
  return { rcode: rcodeOf(answer), answers: answer.answers ?? [], authorities: answer.authorities ?? [] };
}
