import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';

/** A frame of HTTP/2 as it came (RFC 9113, 4.1). */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

export const frameTypes = { data: 0, headers: 1, resetStream: 3, settings: 4 };
const endStream = 1;
const endHeaders = 4;

/** Whether a frame is the last of its stream's answer. */
export const endsStream = ({ type, flags }: Frame): boolean =>
  (type === frameTypes.data || type === frameTypes.headers) && (flags & endStream) !== 0;

/** Sends a request whose body never ends, and gives the frames of its answer until the server resets the stream. */
export async function framesOfUnendingRequest(
  port: number,
  method: string,
  path: string,
  body: Buffer,
): Promise<Frame[]> {
  const socket = connectTls({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false });
  try {
    await once(socket, 'secureConnect');
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(frame(frameTypes.settings, 0, 0, Buffer.alloc(0)));
    const fields = { ':method': method, ':scheme': 'https', ':path': path, ':authority': `127.0.0.1:${port}` };
    const headers = Buffer.concat(Object.entries(fields).map(([name, value]) => literal(name, value)));
    socket.write(frame(frameTypes.headers, endHeaders, 1, headers));
    socket.write(frame(frameTypes.data, 0, 1, body));
    const frames: Frame[] = [];
    let unread = Buffer.alloc(0);
    for await (const chunk of socket) {
      unread = Buffer.concat([unread, chunk as Buffer]);
      while (unread.length >= 9 && unread.length >= 9 + unread.readUIntBE(0, 3)) {
        const got = { type: unread[3]!, flags: unread[4]!, stream: unread.readUInt32BE(5) & 0x7fffffff };
        unread = unread.subarray(9 + unread.readUIntBE(0, 3));
        if (got.stream !== 1) continue;
        frames.push(got);
        if (got.type === frameTypes.resetStream) return frames;
      }
    }
    return frames;
  } finally {
    socket.destroy();
  }
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header field without indexing, its strings as they are (RFC 7541, 6.2.2). */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}
