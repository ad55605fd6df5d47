import { fieldNumbers } from './numbers.ts';

/** A field by its number: its name in JSON, or the message whose fields stand in its place. */
export type Numbered = ReadonlyMap<number, { readonly name: string; readonly inline?: () => Numbered }>;

let lines: Map<string, string[]> | undefined;
const read = new Map<string, Numbered>();
const none: Numbered = new Map();

/** The numbers of a message by its OpenAPI definition (`io.k8s.api.core.v1.Pod`); empty when it is not known. */
export function numbersOf(definition: string): Numbered {
  const name = definition.replace(/^io\.k8s\./, '');
  let numbers = read.get(name);
  if (numbers === undefined) {
    lines ??= split(fieldNumbers);
    const words = lines.get(name);
    numbers = words === undefined ? none : numbered(words, name.slice(0, name.lastIndexOf('.')));
    read.set(name, numbers);
  }
  return numbers;
}

function split(text: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let packageName = '';
  let last: string[] = [];
  for (const line of text.split('\n')) {
    if (line === '') continue;
    if (line.startsWith('#')) packageName = line.slice(1);
    else if (line.startsWith(' ')) last.push(...line.trim().split(' '));
    else {
      const [message, ...fields] = line.split(' ');
      last = fields;
      found.set(`${packageName}.${message}`, last);
    }
  }
  return found;
}

function numbered(words: readonly string[], packageName: string): Numbered {
  const numbers = new Map<number, { name: string; inline?: () => Numbered }>();
  let next = 1;
  for (const word of words) {
    if (word.startsWith('=')) {
      next = Number(word.slice(1));
      continue;
    }
    const [name, message] = word.split('@') as [string, string | undefined];
    if (message === undefined) numbers.set(next, { name });
    else numbers.set(next, { name, inline: () => numbersOf(`io.k8s.${packageName}.${message}`) });
    next++;
  }
  return numbers;
}
