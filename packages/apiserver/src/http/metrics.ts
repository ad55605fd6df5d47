/** Methods of HTTP/2 are any word. */
const verbs: ReadonlySet<string> = new Set(
  'get list watch create update patch delete deletecollection post put head options'.split(' '),
);
const bounds = [0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

interface Series {
  readonly labels: string;
  readonly codes: Map<number, number>;
  readonly buckets: number[];
  sum: number;
  count: number;
}

/** Request counters and latencies in Prometheus' text format, under upstream's names. */
export class RequestMetrics {
  readonly #series = new Map<string, Series>();
  #inFlight = 0;

  begin(): void {
    this.#inFlight++;
  }

  /** Counts a finished request; `seconds` is left out for watches and streams. */
  end(
    verb: string,
    group: string,
    version: string,
    resource: string,
    subresource: string,
    code: number,
    seconds: number | undefined,
  ): void {
    this.#inFlight--;
    if (!verbs.has(verb)) verb = 'other';
    const key = `${verb} ${group} ${version} ${resource} ${subresource}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      const labels = `verb="${verb.toUpperCase()}",group="${group}",version="${version}",resource="${resource}",subresource="${subresource}"`;
      series = { labels, codes: new Map(), buckets: new Array<number>(bounds.length).fill(0), sum: 0, count: 0 };
      this.#series.set(key, series);
    }
    series.codes.set(code, (series.codes.get(code) ?? 0) + 1);
    if (seconds === undefined) return;
    series.sum += seconds;
    series.count++;
    let index = 0;
    while (index < bounds.length && seconds > bounds[index]!) index++;
    if (index < bounds.length) series.buckets[index]!++;
  }

  text(
    extra: Readonly<Record<string, { readonly type: string; readonly help: string; readonly value: number }>>,
  ): string {
    const lines: string[] = [
      '# HELP apiserver_request_total Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.',
      '# TYPE apiserver_request_total counter',
    ];
    for (const series of this.#series.values()) {
      for (const [code, count] of series.codes)
        lines.push(`apiserver_request_total{code="${code}",component="apiserver",${series.labels}} ${count}`);
    }
    lines.push(
      '# HELP apiserver_request_duration_seconds Response latency distribution in seconds for each verb, group, version, resource and subresource.',
      '# TYPE apiserver_request_duration_seconds histogram',
    );
    for (const series of this.#series.values()) {
      if (series.count === 0) continue;
      let cumulative = 0;
      for (let index = 0; index < bounds.length; index++) {
        cumulative += series.buckets[index]!;
        lines.push(
          `apiserver_request_duration_seconds_bucket{component="apiserver",${series.labels},le="${bounds[index]}"} ${cumulative}`,
        );
      }
      lines.push(
        `apiserver_request_duration_seconds_bucket{component="apiserver",${series.labels},le="+Inf"} ${series.count}`,
        `apiserver_request_duration_seconds_sum{component="apiserver",${series.labels}} ${series.sum}`,
        `apiserver_request_duration_seconds_count{component="apiserver",${series.labels}} ${series.count}`,
      );
    }
    for (const [name, { type, help, value }] of Object.entries({
      apiserver_current_inflight_requests: { type: 'gauge', help: 'Requests being served now.', value: this.#inFlight },
      ...extra,
    })) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, `${name} ${value}`);
    }
    return `${lines.join('\n')}\n`;
  }
}
