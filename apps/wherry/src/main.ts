import { main } from './cli/main.ts';
import { wherryVersion } from './version.ts';

const code = await main(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  env: process.env,
  home: {
    directory: process.env.WHERRY_HOME ?? '/var/lib/wherry',
    runDirectory: process.env.WHERRY_RUN ?? '/run/wherry',
  },
  entry: process.argv[1]!,
  version: wherryVersion,
});
process.exitCode = code;
