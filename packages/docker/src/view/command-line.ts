/** A command as `docker ps` shows it: words that a shell would take apart are quoted (go-shellwords style). */
export function commandLine(path: string, args: readonly string[]): string {
  if (args.length === 0) return path;
  return [path, ...args.map((word) => (/[ ]/.test(word) ? `'${word}'` : word))].join(' ');
}
