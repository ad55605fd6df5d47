interface Bounds {
  readonly name: string;
  readonly low: number;
  readonly high: number;
  readonly words?: readonly string[];
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const bounds: readonly Bounds[] = [
  { name: 'minute', low: 0, high: 59 },
  { name: 'hour', low: 0, high: 23 },
  { name: 'day of month', low: 1, high: 31 },
  { name: 'month', low: 1, high: 12, words: months },
  { name: 'day of week', low: 0, high: 6, words: days },
];
const descriptors = new Set(['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly']);
const goDuration = /^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$/;

function numberOf(text: string, field: Bounds): number | string {
  const word = field.words?.indexOf(text.toLowerCase()) ?? -1;
  if (word >= 0) return word + field.low;
  if (!/^[0-9]+$/.test(text))
    return `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
  return Number(text);
}

function rangeProblem(text: string, field: Bounds): string | undefined {
  const [range = '', step, ...moreSteps] = text.split('/');
  const [from = '', to, ...moreEnds] = range.split('-');
  if (moreEnds.length > 0) return `too many hyphens: ${text}`;
  if (moreSteps.length > 0) return `too many slashes: ${text}`;
  let low: number | string = field.low;
  let high: number | string = field.high;
  if (from !== '*' && from !== '?') {
    low = numberOf(from, field);
    if (typeof low === 'string') return low;
    high = to === undefined ? (step === undefined ? low : field.high) : numberOf(to, field);
    if (typeof high === 'string') return high;
  }
  if (low < field.low) return `beginning of range (${low}) below minimum (${field.low}): ${text}`;
  if (high > field.high) return `end of range (${high}) above maximum (${field.high}): ${text}`;
  if (low > high) return `beginning of range (${low}) beyond end of range (${high}): ${text}`;
  if (step === undefined) return undefined;
  const width = numberOf(step, { name: '', low: 0, high: 0 });
  if (typeof width === 'string') return width;
  return width === 0 ? `step of range should be a positive number: ${text}` : undefined;
}

/** What is wrong with a CronJob's schedule (five fields, `@daily`, `@every 1h`), or `undefined`. */
export function cronProblem(schedule: string): string | undefined {
  if (schedule.startsWith('@')) {
    if (descriptors.has(schedule)) return undefined;
    if (schedule.startsWith('@every ')) {
      const duration = schedule.slice('@every '.length);
      return goDuration.test(duration)
        ? undefined
        : `failed to parse duration ${schedule}: time: invalid duration ${JSON.stringify(duration)}`;
    }
    return `unrecognized descriptor: ${schedule}`;
  }
  const fields = schedule.trim().split(/\s+/);
  if (schedule.trim() === '' || fields.length !== 5) {
    const shown = schedule.trim() === '' ? [] : fields;
    return `expected exactly 5 fields, found ${shown.length}: [${shown.join(' ')}]`;
  }
  for (const [index, text] of fields.entries()) {
    for (const part of text.split(',')) {
      const problem = rangeProblem(part, bounds[index]!);
      if (problem !== undefined) return problem;
    }
  }
  return undefined;
}
