import { readControl } from './files.ts';

/** `key value` lines (`memory.stat`, `cpu.stat`). */
export function readStatistics(file: string): Record<string, number> {
  const statistics: Record<string, number> = {};
  for (const line of readControl(file)?.split('\n') ?? []) {
    const [key, value] = line.split(' ');
    if (key !== undefined && key !== '' && value !== undefined) statistics[key] = Number(value);
  }
  return statistics;
}

/** A count that may be beyond 2⁵³; 0 when its file is not there. */
export function readCount(file: string): bigint {
  const text = readControl(file) ?? '';
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
}

/** A limit; `undefined` for none: `max` on version 2, the largest multiple of a page on version 1. */
export function readLimit(file: string): number | undefined {
  const text = readControl(file);
  if (text === undefined || text === 'max' || text === '') return undefined;
  const limit = Number(text);
  return limit >= 2 ** 62 ? undefined : limit;
}

export interface BlockIoCount {
  readonly major: number;
  readonly minor: number;
  readonly operation: string;
  readonly bytes: number;
  readonly operations: number;
}

/** Joins version 1's files of bytes and of operations (`8:0 Read 4096`). */
export function blockIoVersion1(bytesFile: string, operationsFile: string): BlockIoCount[] {
  const operations = new Map(
    deviceLines(operationsFile).map(({ device, operation, value }) => [`${device} ${operation}`, value]),
  );
  return deviceLines(bytesFile).map(({ device, operation, value }) => ({
    ...numbersOf(device),
    operation: operation.toLowerCase(),
    bytes: value,
    operations: operations.get(`${device} ${operation}`) ?? 0,
  }));
}

function deviceLines(file: string): { readonly device: string; readonly operation: string; readonly value: number }[] {
  return (readControl(file)?.split('\n') ?? []).flatMap((line) => {
    const [device, operation, value] = line.split(' ');
    return device === undefined || operation === undefined || value === undefined
      ? []
      : [{ device, operation, value: Number(value) }];
  });
}

const version2Operations = [
  ['read', 'r'],
  ['write', 'w'],
  ['discard', 'd'],
] as const;

/** Version 2's `io.stat`: `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`. */
export function blockIoVersion2(file: string): BlockIoCount[] {
  return (readControl(file)?.split('\n') ?? []).flatMap((line) => {
    const [device = '', ...fields] = line.split(' ');
    if (!/^\d+:\d+$/.test(device)) return [];
    const values = new Map(fields.map((field) => field.split('=', 2) as [string, string]));
    return version2Operations.flatMap(([operation, letter]) => {
      const bytes = values.get(`${letter}bytes`);
      if (bytes === undefined) return [];
      const operations = Number(values.get(`${letter}ios`) ?? 0);
      return [{ ...numbersOf(device), operation, bytes: Number(bytes), operations }];
    });
  });
}

function numbersOf(device: string): { readonly major: number; readonly minor: number } {
  const [major = 0, minor = 0] = device.split(':').map(Number);
  return { major, minor };
}
