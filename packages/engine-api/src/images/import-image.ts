import { WherryError } from '@wherry/base';
import { applyChanges } from '@wherry/builder';
import { parseReference } from '@wherry/oci';
import type { Exchange } from '../http/exchange.ts';
import { fetchContent } from '../http/fetch-content.ts';
import type { EngineApiOptions } from '../options.ts';
import { joinName } from './names.ts';
import { platformAsked } from './platforms.ts';

/** `docker import`: an image of one layer from a tar in the body (`fromSrc=-`) or at an address. */
export async function importImage(options: EngineApiOptions, exchange: Exchange): Promise<void> {
  const { images } = options;
  const { query } = exchange;
  const source = query.text('fromSrc');
  if (source === '') throw new WherryError('invalid', 'neither fromImage nor fromSrc is given');
  const repository = query.text('repo');
  if (repository !== '' && parseReference(repository).digest !== undefined) {
    throw new WherryError('invalid', 'cannot import digest reference');
  }
  const reference = repository === '' ? undefined : joinName(repository, query.text('tag'));
  const { Labels, ...settings } = applyChanges({}, query.all('changes'));
  const config = { ...settings, Labels: Labels && Object.keys(Labels).length > 0 ? Labels : null };
  const platform = platformAsked(exchange, 32);
  if (platform !== undefined && platform.os !== 'linux') {
    throw new WherryError('invalid', 'operating system is not supported');
  }
  const tar = source === '-' ? exchange.body : await fetchContent(source, exchange.signal);
  const lines = exchange.lines('\r\n');
  if (source !== '-') lines.write({ status: `Downloading from ${source}` });
  try {
    const { id } = await images.importImage(tar, {
      references: reference === undefined ? [] : [reference],
      config: { config },
      message: query.text('message') || `Imported from ${source}`,
      signal: exchange.signal,
      ...(platform === undefined ? {} : { platform }),
    });
    lines.write({ status: id });
    lines.end();
  } catch (error) {
    lines.fail(error);
  }
}
