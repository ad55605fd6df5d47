import { type ExpandOptions, expandWord, expandWords } from '../dockerfile/expand.ts';
import type { Pair, StageInstruction } from '../dockerfile/instruction.ts';

/**
 * An instruction with its variables replaced, as far as its keyword has that done: not in commands, which a shell
 * expands, nor in triggers (Dockerfile reference, "Environment replacement"). Throws `invalid`.
 */
export function expandInstruction<T extends StageInstruction>(instruction: T, options: ExpandOptions): T {
  return expanded(instruction, options) as T;
}

function expanded(instruction: StageInstruction, options: ExpandOptions): StageInstruction {
  const word = (text: string): string => expandWord(text, options);
  const maybe = (text: string | undefined): string | undefined => (text === undefined ? undefined : word(text));
  const pair = ({ key, value }: Pair): Pair => ({ key: word(key), value: word(value) });
  switch (instruction.name) {
    case 'ENV':
      return { ...instruction, pairs: instruction.pairs.map(pair) };
    case 'LABEL':
      return instruction.literal ? instruction : { ...instruction, pairs: instruction.pairs.map(pair) };
    case 'ARG': {
      const pairs = instruction.pairs.map(({ key, value }) => ({ key: word(key), value: maybe(value) }));
      return { ...instruction, pairs };
    }
    case 'USER':
    case 'STOPSIGNAL':
    case 'WORKDIR':
      return { ...instruction, text: word(instruction.text) };
    case 'VOLUME':
      return { ...instruction, paths: instruction.paths.map(word) };
    case 'EXPOSE':
      return { ...instruction, ports: instruction.ports.flatMap((port) => expandWords(port, options)) };
    case 'RUN': {
      const mounts = instruction.mounts.map((mount) => new Map([...mount].map(([key, value]) => [key, maybe(value)])));
      return { ...instruction, mounts };
    }
    case 'ADD':
    case 'COPY':
      return {
        ...instruction,
        sources: instruction.sources.map(word),
        destination: word(instruction.destination),
        owner: maybe(instruction.owner) || undefined,
        mode: maybe(instruction.mode),
        checksum: maybe(instruction.checksum),
        exclude: instruction.exclude.map(word),
        files: instruction.files.map((file) =>
          file.expands ? { ...file, content: expandWord(file.content, { ...options, quotesAreText: true }) } : file,
        ),
      };
    default:
      return instruction;
  }
}
