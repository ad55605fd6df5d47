import { codeOf, messageOf, WherryError } from '@wherry/base';
import type { CliContext, Command } from './context.ts';
import { flagUsage, parseFlags } from './flags.ts';
import { printable } from './table.ts';

/** Commands are loaded when they are called: `wherry up` should not read what `wherry demo` needs. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  up: async () => (await import('./up.ts')).upCommand,
  status: async () => (await import('./status.ts')).statusCommand,
  down: async () => (await import('./down.ts')).downCommand,
  ls: async () => (await import('./status.ts')).listCommand,
  env: async () => (await import('./kubeconfig-command.ts')).envCommand,
  kubeconfig: async () => (await import('./kubeconfig-command.ts')).kubeconfigCommand,
  build: async () => (await import('./build.ts')).buildCommand,
  load: async () => (await import('./load.ts')).loadCommand,
  demo: async () => (await import('./demo.ts')).demoCommand,
  version: async () => (await import('./version.ts')).versionCommand,
  registry: async () => (await import('./registry.ts')).registryCommand,
  daemon: async () => (await import('./daemon-command.ts')).daemonCommand,
};

/** The whole command line; gives the exit code: 0, 1 for a failure, 2 for bad usage. */
export async function main(argv: readonly string[], context: CliContext): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') return help(rest[0], context);
  if (name === '--version') return main(['version'], context);
  const load = commands[name];
  if (!load) {
    context.stderr.write(
      `Error: unknown command ${JSON.stringify(printable(name))} for "wherry"\nRun 'wherry --help' for usage.\n`,
    );
    return 2;
  }
  const command = await load();
  if (rest.includes('--help') || rest.includes('-h')) return help(name, context);
  try {
    return await command.run(parseFlags(command.flags, rest), context);
  } catch (error) {
    const usage = error instanceof WherryError && error.code === 'invalid' && /flag|argument/.test(error.message);
    context.stderr.write(`Error: ${messageOf(error)}\n`);
    if (usage) context.stderr.write(`See 'wherry ${name} --help'.\n`);
    else if (codeOf(error) === undefined && context.env.WHERRY_DEBUG !== undefined)
      context.stderr.write(`${(error as Error).stack}\n`);
    return usage ? 2 : 1;
  }
}

async function help(name: string | undefined, { stdout, stderr }: CliContext): Promise<number> {
  if (name !== undefined) {
    const command = await commands[name]?.();
    if (!command) {
      stderr.write(`Error: unknown command ${JSON.stringify(printable(name))} for "wherry"\n`);
      return 2;
    }
    stdout.write(
      `${command.summary}.\n\nUsage:\n  ${command.usage}\n${command.flags.length > 0 ? `\nFlags:\n${flagUsage(command.flags)}\n` : ''}`,
    );
    return 0;
  }
  const all = (await Promise.all(Object.values(commands).map((load) => load()))).filter((command) => !command.hidden);
  const width = Math.max(...all.map((command) => command.name.length));
  stdout.write(
    'Wherry: the container engine and the Kubernetes that fit in one npm install.\n\nUsage:\n  wherry COMMAND [flags]\n\nCommands:\n',
  );
  for (const command of all) stdout.write(`  ${command.name.padEnd(width)}   ${command.summary}\n`);
  stdout.write("\nRun 'wherry COMMAND --help' for the flags of a command.\n");
  return 0;
}
