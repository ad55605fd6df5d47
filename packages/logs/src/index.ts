export { type LogBatch, type LogEntry, logEntries, logFields, logMarks } from './log-batch.ts';
export { framedLog, type LogStyle, plainLog } from './log-output.ts';
export { type ReadLogOptions, readLog } from './log-reader.ts';
