import { messageOf, WherryError } from '@wherry/base';
import type { FlagSpec, ParsedFlags } from './flags.ts';

/** Flags for what the steps of a build may use, as `docker build` has them. */
export const limitFlags: readonly FlagSpec[] = [
  { name: 'memory', short: 'm', type: 'string', usage: 'memory of a RUN, such as 512m' },
  { name: 'memory-swap', type: 'string', usage: 'memory and swap of a RUN; -1: as much swap as there is' },
  { name: 'shm-size', type: 'string', usage: 'size of /dev/shm of a RUN' },
  { name: 'ulimit', type: 'strings', usage: 'NAME=SOFT[:HARD], such as nofile=1024:2048' },
  { name: 'cpu-shares', short: 'c', type: 'number', usage: 'weight of a RUN among what wants the processors' },
  { name: 'cpu-period', type: 'number', usage: 'period of the CFS scheduler in microseconds' },
  { name: 'cpu-quota', type: 'number', usage: 'microseconds of a period that a RUN may take' },
  { name: 'cpuset-cpus', type: 'string', usage: 'processors of a RUN, such as 0-3 or 0,1' },
  { name: 'cpuset-mems', type: 'string', usage: 'memory nodes of a RUN' },
  { name: 'cgroup-parent', type: 'string', usage: 'cgroup that the ones of RUN are beneath' },
];

/** What `POST /build` is asked for by these flags. Throws `invalid` in docker's words. */
export function addLimits(parsed: ParsedFlags, query: URLSearchParams): void {
  const add = (name: string, flag: string, read: (text: string) => string = String): void => {
    const text = parsed.string(flag);
    if (text !== undefined && text !== '') query.set(name, valid(flag, text, read));
  };
  add('memory', 'memory', sizeOf);
  add('memswap', 'memory-swap', (text) => (text === '-1' ? text : sizeOf(text)));
  add('shmsize', 'shm-size', sizeOf);
  add('cpushares', 'cpu-shares');
  add('cpuperiod', 'cpu-period');
  add('cpuquota', 'cpu-quota');
  add('cpusetcpus', 'cpuset-cpus');
  add('cpusetmems', 'cpuset-mems');
  add('cgroupparent', 'cgroup-parent');
  const limits = parsed.strings('ulimit').map((text) => valid('ulimit', text, limitOf));
  if (limits.length > 0) query.set('ulimits', JSON.stringify(limits));
}

/** What `read` makes of a flag's value, with what it throws in the words of pflag. */
function valid<T>(flag: string, text: string, read: (text: string) => T): T {
  try {
    return read(text);
  } catch (error) {
    const short = limitFlags.find(({ name }) => name === flag)?.short;
    const shown = JSON.stringify(`${short === undefined ? '' : `-${short}, `}--${flag}`);
    const words = `invalid argument ${JSON.stringify(text)} for ${shown} flag: ${messageOf(error)}`;
    throw new WherryError('invalid', words, { cause: error });
  }
}

/** `1.5g` in bytes: powers of 1024. */
function sizeOf(text: string): string {
  const [, amount, suffix = ''] = /^(\d+(?:\.\d+)?) ?(\D*)$/.exec(text) ?? [];
  if (amount === undefined) refuse(`invalid size: '${text}'`);
  const [, unit = 'b'] = /^(?:([kmgtp])i?)?b?$/i.exec(suffix) ?? refuse(`invalid suffix: '${suffix}'`);
  return String(Math.trunc(Number(amount) * 1024 ** 'bkmgtp'.indexOf(unit.toLowerCase())));
}

const limitNames: readonly string[] = [
  ...['core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice', 'nofile', 'nproc', 'rss'],
  ...['rtprio', 'rttime', 'sigpending', 'stack'],
];

/** Of setrlimit(2); -1 is no limit. */
function limitOf(text: string): { readonly Name: string; readonly Soft: number; readonly Hard: number } {
  const equals = text.indexOf('=');
  if (equals < 0) refuse(`invalid ulimit argument: ${text}`);
  const [name, range] = [text.slice(0, equals), text.slice(equals + 1)];
  if (!limitNames.includes(name)) refuse(`invalid ulimit type: ${name}`);
  const values = range.split(':');
  if (values.length > 2) refuse(`too many limit value arguments - ${range}, can only have up to two, \`soft[:hard]\``);
  const [soft = 0, hard = soft] = values.map((value) =>
    /^-?\d+$/.test(value) ? Number(value) : refuse(`strconv.ParseInt: parsing "${value}": invalid syntax`),
  );
  const order = 'ulimit soft limit must be less than or equal to hard limit:';
  if (hard !== -1 && soft === -1) refuse(`${order} soft: -1 (unlimited), hard: ${hard}`);
  if (hard !== -1 && soft > hard) refuse(`${order} ${soft} > ${hard}`);
  return { Name: name, Soft: soft, Hard: hard };
}

function refuse(why: string): never {
  throw new Error(why);
}
