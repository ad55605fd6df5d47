/** One of docker's events (`docker events`), as `GET /events` gives it. */
export interface DockerEvent {
  readonly Type: 'container' | 'image' | 'network' | 'volume' | 'daemon' | 'builder' | 'plugin';
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  readonly scope: 'local';
  readonly time: number; // s
  readonly timeNano: bigint;
}

/** Docker's events: the last 256 are kept for `since`. */
export interface EventLog {
  emit(type: DockerEvent['Type'], action: string, id: string, attributes: Readonly<Record<string, string>>): void;
  /** How many read new ones now. */
  readonly listeners: number;
  /** Kept ones since `since`, then new ones until `until` or the signal. Times in ns. */
  read(range: { readonly since?: bigint; readonly until?: bigint }, signal: AbortSignal): AsyncIterable<DockerEvent>;
}
