import type { Container } from '../containers/container.ts';
import { humanDuration, millisecondsOf } from '../times.ts';

/** The STATUS column of `docker ps`. */
export function statusWords(container: Container, now: number): string {
  const { phase, exitCode, startedAt, finishedAt } = container.record.state;
  const since = (text: string): string => humanDuration(Math.max(0, now - millisecondsOf(text)));
  switch (phase) {
    case 'running':
    case 'paused': {
      const up = `Up ${since(startedAt)}`;
      if (phase === 'paused') return `${up} (Paused)`;
      const health = container.health?.Status;
      return health === undefined ? up : `${up} (${health === 'starting' ? 'health: starting' : health})`;
    }
    case 'restarting':
      return `Restarting (${exitCode}) ${since(finishedAt)} ago`;
    case 'removing':
      return 'Removal In Progress';
    case 'dead':
      return 'Dead';
    case 'created':
      return 'Created';
    case 'exited':
      return `Exited (${exitCode}) ${since(finishedAt)} ago`;
  }
}
