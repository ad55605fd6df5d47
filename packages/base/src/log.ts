import { messageOf } from './errors.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

/** Structured logging: a message that never varies, and fields. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to every line. */
  with(fields: LogFields): Logger;
}

const rank: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Writes one JSON object a line: `{"time","level","message",…fields}`. */
export function jsonLogger(write: (line: string) => void, level: LogLevel = 'info', fields: LogFields = {}): Logger {
  const emit = (at: LogLevel, message: string, more: LogFields = {}): void => {
    if (rank[at] < rank[level]) return;
    const line: Record<string, unknown> = { time: new Date().toISOString(), level: at, message, ...fields };
    for (const [key, value] of Object.entries(more)) line[key] = value instanceof Error ? messageOf(value) : value;
    write(JSON.stringify(line) + '\n');
  };
  return {
    debug: (message, more) => emit('debug', message, more),
    info: (message, more) => emit('info', message, more),
    warn: (message, more) => emit('warn', message, more),
    error: (message, more) => emit('error', message, more),
    with: (more) => jsonLogger(write, level, { ...fields, ...more }),
  };
}

/** Drops everything. */
export const silentLogger: Logger = jsonLogger(() => undefined, 'error');
