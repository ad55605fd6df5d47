import { createReadStream } from 'node:fs';
import { access } from 'node:fs/promises';
import { messageOf, WherryError } from '@wherry/base';
import { type Command, nameFlag } from './context.ts';
import { sendImages } from './control-client.ts';
import { knownCluster } from './status.ts';
import { printable } from './table.ts';

export const loadCommand: Command = {
  name: 'load',
  usage: 'wherry load [--name NAME] ARCHIVE|-',
  summary: 'Load images from a docker or OCI archive (as "docker save" writes it)',
  flags: [nameFlag],
  async run(flags, { home, stdin, stdout }) {
    const [path, ...more] = flags.args;
    if (path === undefined || more.length > 0)
      throw new WherryError('invalid', 'wherry load takes exactly one argument: the archive, or - for standard input');
    const config = await knownCluster(home, flags.string('name')!);
    if (path !== '-')
      await access(path).catch((error: unknown) => {
        throw new WherryError('notFound', messageOf(error), { cause: error });
      });
    for (const name of await sendImages(config, path === '-' ? stdin : createReadStream(path)))
      stdout.write(`Loaded image: ${printable(name)}\n`);
    return 0;
  },
};
