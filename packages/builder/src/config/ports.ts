import { isIP } from 'node:net';
import { WherryError } from '@wherry/base';

/** Ports of an `EXPOSE`: `80`, `53/udp`, `8000-8010`; a host part is taken and means nothing. Throws `invalid`. */
export function exposedPorts(written: readonly string[]): readonly string[] {
  return written.flatMap((spec) => {
    const parts = spec.split(':');
    const [ports = '', written = ''] = (parts.at(-1) ?? '').split('/');
    const address = parts
      .slice(0, -2)
      .join(':')
      .replace(/^\[(.*)\]$/, '$1');
    if (address !== '' && isIP(address) === 0) throw new WherryError('invalid', `Invalid ip address: ${address}`);
    const protocol = written || 'tcp';
    if (ports === '') throw new WherryError('invalid', `No port specified: ${spec}<empty>`);
    // Docker looks no further than the second part of a range.
    const [, first = '', last = first] = /^(\d+)(?:-(\d+)(?:-.*)?)?$/.exec(ports) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (first === '' || from > 65_535 || to > 65_535 || to < from) {
      throw new WherryError('invalid', `Invalid containerPort: ${ports}`);
    }
    const hostPort = parts.at(-2) ?? '';
    if (!/^(?:\d+(?:-\d+)?)?$/.test(hostPort)) throw new WherryError('invalid', `Invalid hostPort: ${hostPort}`);
    // Docker looks at the protocol last.
    const lower = protocol.toLowerCase();
    if (lower !== 'tcp' && lower !== 'udp' && lower !== 'sctp') {
      throw new WherryError('invalid', `Invalid proto: ${protocol}`);
    }
    return Array.from({ length: to - from + 1 }, (_, index) => `${from + index}/${lower}`);
  });
}
