import type { RuntimeSpec } from '@wherry/oci';
import { controlFailure, mountFailure } from './spec-failures.ts';

/** By their number (`asm-generic/resource.h`). */
export const resourceLimits =
  'CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME'.split(' ');

/**
 * What users know a failed start by: the words of runc, which everybody searches for. crun's own are
 * translated where both say the same; anything else is passed on.
 */
export function startFailure(message: string, args: readonly string[], spec?: RuntimeSpec): string {
  const program = args[0] ?? '';
  // runc's own words come with what its callers put before them.
  const text = message.trim().replace(/^((runc \w+|exec) failed: )?unable to start container process: /, '');
  const missing = /^executable file `(.*)` not found in \$PATH/.exec(text);
  if (missing) {
    const name = missing[1] ?? program;
    return name.includes('/')
      ? `exec: ${JSON.stringify(name)}: stat ${name}: no such file or directory`
      : `exec: ${JSON.stringify(name)}: executable file not found in $PATH`;
  }
  if (/^open executable: Not a directory/.test(text))
    return `exec: ${JSON.stringify(program)}: stat ${program}: not a directory`;
  if (program === '' && /^open executable: /.test(text)) return 'exec: "": executable file not found in $PATH';
  if (/^open executable: (Operation not permitted|Permission denied)/.test(text))
    return program === ''
      ? 'exec: "": executable file not found in $PATH'
      : `exec: ${JSON.stringify(program)}: permission denied`;
  const limit = /^setrlimit `RLIMIT_([A-Z]+)`: (.*)$/.exec(text);
  if (limit) {
    const type = resourceLimits.indexOf(limit[1] as string);
    return `error during container init: error setting rlimits for ready process: error setting rlimit type ${type}: ${(limit[2] ?? '').toLowerCase()}`;
  }
  if (/^write to \/proc\/self\/oom_score_adj: Permission denied/.test(text))
    return "can't get final child's PID from pipe: EOF";
  if (/^failed open\(\)ing \/dev\/null: No such file or directory/.test(text))
    return 'unable to setup user: stat /dev/null: no such file or directory';
  const folder = /^chdir `(.*)`: (.*)$/.exec(text);
  if (folder)
    return `chdir to cwd (${JSON.stringify(folder[1])}) set in config.json failed: ${(folder[2] ?? '').toLowerCase()}`;
  const name = /^sethostname: (.*)$/.exec(text);
  if (name) return `error during container init: sethostname: ${(name[1] ?? '').toLowerCase()}`;
  return (spec && (controlFailure(text, spec.linux) ?? mountFailure(text, spec.mounts))) ?? text;
}

/** The last error in a runtime's log of JSON lines. */
export function lastError(log: string): string | undefined {
  let last: string | undefined;
  for (const line of log.split('\n')) {
    if (line === '') continue;
    try {
      const { level, msg } = JSON.parse(line) as { level?: string; msg?: string };
      if (msg !== undefined && (level === 'error' || level === undefined)) last = msg;
    } catch {
      last = line;
    }
  }
  return last;
}
