/**
 * The difference of two JSON values as lines marked with `-` and `+`, in the manner that upstream
 * shows what a refused pod update tried to change. Unchanged neighbours are left out.
 */
export function specDiff(old: unknown, now: unknown, type = 'core.PodSpec'): string {
  return [`  ${type}{`, ...fieldLines(old as object, now as object, '\t'), '  }', ''].join('\n');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fieldLines(old: object, now: object, indent: string): string[] {
  const a = old as Record<string, unknown>;
  const b = now as Record<string, unknown>;
  const lines: string[] = [];
  let same = 0;
  for (const key of [...new Set([...Object.keys(a), ...Object.keys(b)])].sort()) {
    const label = `${key[0]!.toUpperCase()}${key.slice(1)}: `;
    const change = valueLines(a[key], b[key], label, indent);
    if (change.length === 0) same += 1;
    else lines.push(...change);
  }
  if (same > 0) lines.push(`  ${indent}... // ${same} identical fields`);
  return lines;
}

function valueLines(old: unknown, now: unknown, label: string, indent: string): string[] {
  if (JSON.stringify(old) === JSON.stringify(now)) return [];
  if (isObject(old) && isObject(now)) {
    return [`  ${indent}${label}{`, ...fieldLines(old, now, `${indent}\t`), `  ${indent}},`];
  }
  if (Array.isArray(old) && Array.isArray(now)) {
    const inner = Array.from({ length: Math.max(old.length, now.length) }, (_, i) =>
      valueLines(old[i], now[i], '', `${indent}\t`),
    );
    return [`  ${indent}${label}{`, ...inner.flat(), `  ${indent}},`];
  }
  const lines: string[] = [];
  if (old !== undefined) lines.push(`- ${indent}${label}${JSON.stringify(old)},`);
  if (now !== undefined) lines.push(`+ ${indent}${label}${JSON.stringify(now)},`);
  return lines;
}
