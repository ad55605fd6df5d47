import type { Clock } from '@wherry/base';
import type { BuildEvent } from '@wherry/builder';
import { parseReference } from '@wherry/oci';
import type { PullProgress } from '@wherry/runtime';
import type { JsonLines } from '../http/json-lines.ts';
import { Progress } from '../http/progress.ts';
import { familiar } from '../images/names.ts';
import { PullReport, pullStatus } from '../images/pull-image.ts';

/** The classic builder's lines. */
export class BuildLines {
  readonly #lines: JsonLines;
  readonly #clock: Clock;
  readonly #why: boolean;
  readonly #removes: boolean;
  #running: string | undefined;
  readonly #pulls = new Map<string, PullReport>();

  /** `why`: say why steps are not cached, which dockerd cannot. `removes`: say that their containers are gone. */
  constructor(lines: JsonLines, clock: Clock, { why = false, removes = true } = {}) {
    this.#lines = lines;
    this.#clock = clock;
    this.#why = why;
    this.#removes = removes;
  }

  add(event: BuildEvent): void {
    switch (event.type) {
      case 'step':
        this.#say(`Step ${event.number}/${event.total} : ${event.instruction}`);
        this.#say('\n');
        break;
      case 'triggers':
        this.#say(`# Executing ${event.count} build trigger${event.count === 1 ? '' : 's'}\n`);
        break;
      case 'cached':
        this.#say(' ---> Using cache\n');
        break;
      case 'running':
        this.#say(` ---> Running in ${shortId(event.containerId)}\n`);
        this.#running = event.containerId;
        break;
      case 'removed':
        this.#running = undefined;
        if (this.#removes) this.#tellRemoved(event.containerId);
        break;
      case 'output':
        this.#output(event.stream, event.content.toString());
        break;
      case 'done':
        this.#say(` ---> ${shortId(event.imageId)}\n`);
        break;
      case 'stage':
        this.#lines.write({ aux: { ID: event.imageId } });
        break;
      case 'warning':
        this.#say(`[Warning] ${event.message}\n`);
        break;
      case 'resolved':
        this.#pullOf(event.reference).begin();
        break;
      case 'pull':
        this.#pullOf(event.reference).add(event as unknown as PullProgress);
        break;
      case 'pulled':
        this.#pullOf(event.reference).finish(event.digest);
        this.#pulls.delete(event.reference);
        this.#lines.write({ status: pullStatus(familiar(event.reference), event.isNew) });
        break;
      case 'built':
        this.#say(`Successfully built ${shortId(event.imageId)}\n`);
        break;
      case 'miss':
        if (this.#why) this.#say(` ---> Not cached: ${event.reason}\n`);
        break;
    }
  }

  /** Before what went wrong: with `--force-rm` the container of the step that failed goes, too. */
  fail({ removesAll }: { readonly removesAll: boolean }): void {
    if (removesAll && this.#running !== undefined) this.#tellRemoved(this.#running);
  }

  finish(tags: readonly string[]): void {
    for (const tag of tags) this.#say(`Successfully tagged ${tag}\n`);
  }

  #tellRemoved(containerId: string): void {
    this.#say(` ---> Removed intermediate container ${shortId(containerId)}\n`);
  }

  #say(stream: string): void {
    this.#lines.write({ stream });
  }

  /** What a command says of failures is red, as the classic builder has it. */
  #output(stream: 'stdout' | 'stderr', text: string): void {
    this.#say(stream === 'stdout' ? text : `\u001b[91m${text}\u001b[0m`);
  }

  #pullOf(reference: string): PullReport {
    let report = this.#pulls.get(reference);
    if (report === undefined) {
      const { path, tag } = parseReference(reference);
      report = new PullReport(new Progress(this.#lines, this.#clock), path, tag ?? familiar(reference));
      this.#pulls.set(reference, report);
    }
    return report;
  }
}

/** Twelve digits of an id or digest. */
export function shortId(id: string): string {
  return id.slice(id.indexOf(':') + 1).slice(0, 12);
}
