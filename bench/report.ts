/** One line of the report: what was measured, and against what in the same run. */
export interface Measure {
  readonly name: string;
  readonly value: number;
  readonly unit: 'ms' | 'MB' | '%' | '/s';
  /** The raw floor or the peer, measured in the same run. */
  readonly against?: { readonly name: string; readonly value: number } | undefined;
  /** At most (for rates: at least) this. */
  readonly target?: number | undefined;
  readonly note?: string | undefined;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

const number = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

/** The measures as a table; a missed target is marked. */
export function formatReport(measures: readonly Measure[]): string {
  const rows = measures.map(({ name, value, unit, against, target, note }) => {
    const rate = unit === '/s';
    const missed = target !== undefined && (rate ? value < target : value > target);
    return [
      name,
      `${number(value)} ${unit}`,
      against ? `${number(against.value)} ${unit} ${against.name}` : '',
      against ? `${number(rate ? against.value / value : value / against.value)} x` : '',
      target === undefined ? '' : `${rate ? '>=' : '<='} ${number(target)} ${unit}${missed ? ' MISSED' : ''}`,
      note ?? '',
    ];
  });
  const lines = [['MEASURE', 'WHERRY', 'FLOOR OR PEER', 'RATIO', 'TARGET', 'NOTE'], ...rows];
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Ends what a section used. What is left behind is reported, but costs no figures: others may work on the same host. */
export async function disposed(resource: AsyncDisposable): Promise<void> {
  try {
    await resource[Symbol.asyncDispose]();
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n`);
  }
}
