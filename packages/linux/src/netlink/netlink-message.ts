/** `struct nlmsghdr` (netlink(7)). */
export const headerLength = 16;

/** A message that the kernel sent: its type and what follows the header. */
export interface NetlinkMessage {
  readonly type: number;
  readonly body: Buffer;
}

/** A message with the rest of its header. */
export interface ReceivedMessage extends NetlinkMessage {
  readonly flags: number;
  readonly sequence: number;
}

/** The messages of one datagram; stops at the first that does not fit. Their bodies are views of `data`. */
export function* messagesIn(data: Buffer): Generator<ReceivedMessage> {
  for (let at = 0; at + headerLength <= data.length; ) {
    const length = data.readUInt32LE(at);
    if (length < headerLength || at + length > data.length) return;
    yield {
      type: data.readUInt16LE(at + 4),
      flags: data.readUInt16LE(at + 6),
      sequence: data.readUInt32LE(at + 8),
      body: data.subarray(at + headerLength, at + length),
    };
    at += (length + 3) & ~3;
  }
}
