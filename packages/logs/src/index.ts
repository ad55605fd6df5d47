export * from './log-reader.ts';
