/** What Go's regexp says of an expression that is none; `undefined` for a good one. */
export function problemOfExpression(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    new RegExp(text);
    return undefined;
  } catch (error) {
    return `error parsing regexp: ${reasonOf((error as Error).message, text)}`;
  }
}

/** The commonest of V8's reasons in the words of Go's `regexp/syntax`. */
function reasonOf(message: string, text: string): string {
  if (message.includes('Unterminated group')) return `missing closing ): \`${text}\``;
  if (message.includes('Unmatched')) return `unexpected ): \`${text}\``;
  if (message.includes('Unterminated character class'))
    return `missing closing ]: \`${text.slice(text.indexOf('['))}\``;
  if (message.includes('Nothing to repeat'))
    return `missing argument to repetition operator: \`${/[*+?]/.exec(text)?.[0] ?? text}\``;
  if (message.includes('at end of pattern')) return 'trailing backslash at end of expression: ``';
  return `invalid expression: \`${text}\``;
}

/** What a log's tag may show of its container (moby's `logger.Info`): fields, and methods without arguments. */
const tagFields = new Set([
  'Config',
  'ContainerID',
  'ContainerName',
  'ContainerEntrypoint',
  'ContainerArgs',
  'ContainerImageID',
  'ContainerImageName',
  'ContainerCreated',
  'ContainerEnv',
  'ContainerLabels',
  'LogPath',
  'DaemonName',
  'Hostname',
  'Command',
  'ID',
  'FullID',
  'Name',
  'ImageID',
  'ImageFullID',
  'ImageName',
]);

/** What Go's templates say of a tag: of actions that do not end, and of fields that are not there. */
export function problemOfTag(text: string | undefined): string | undefined {
  for (let at = text?.indexOf('{{') ?? -1; text !== undefined && at >= 0; at = text.indexOf('{{', at + 2)) {
    const end = text.indexOf('}}', at);
    const line = text.slice(0, at).split('\n').length;
    if (end < 0) return `template: log-tag:${line}: unclosed action`;
    const field = /^-?\s*\.([A-Za-z_][A-Za-z0-9_]*)/.exec(text.slice(at + 2, end));
    if (field === null || tagFields.has(field[1] as string)) continue;
    const column = at - text.lastIndexOf('\n', at) - 1 + field[0].indexOf('.') + 2;
    return `template: log-tag:${line}:${column}: executing "log-tag" at <.${field[1]}>: can't evaluate field ${field[1]} in type *logger.Info`;
  }
  return undefined;
}

/** What a tag's fields stand for. */
export interface TagFacts {
  readonly id: string;
  readonly name: string;
  readonly imageId: string;
  readonly imageName: string;
  readonly command: readonly string[];
  readonly hostname: string;
}

/** A tag with its fields filled in; `undefined` for one that is no template of fields alone. */
export function renderTag(text: string, facts: TagFacts): string | undefined {
  const values: Readonly<Record<string, string>> = {
    ID: facts.id.slice(0, 12),
    FullID: facts.id,
    ContainerID: facts.id,
    Name: facts.name,
    ContainerName: `/${facts.name}`,
    ImageID: facts.imageId.replace(/^sha256:/, '').slice(0, 12),
    ImageFullID: facts.imageId,
    ContainerImageID: facts.imageId,
    ImageName: facts.imageName,
    ContainerImageName: facts.imageName,
    Command: facts.command.join(' '),
    DaemonName: 'docker',
    Hostname: facts.hostname,
  };
  let known = true;
  const rendered = text.replace(/\{\{-?\s*\.([A-Za-z]+)\s*-?\}\}/g, (_, field: string) => {
    known &&= values[field] !== undefined;
    return values[field] ?? '';
  });
  return known && !rendered.includes('{{') ? rendered : undefined;
}
