import type { StoreParts } from '../store-parts.ts';

/** The labels of what an event names, as dockerd adds them: of a repository those of its `latest`. */
export async function labelsOf(
  { finder }: Pick<StoreParts, 'finder'>,
  name: string,
): Promise<Readonly<Record<string, string>> | undefined> {
  return (await finder.find(name))?.image.labels;
}
