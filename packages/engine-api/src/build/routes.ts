import { messageOf, systemClock, systemRandom, WherryError } from '@wherry/base';
import type { Builder } from '@wherry/builder';
import type { Exchange } from '../http/exchange.ts';
import type { JsonLines } from '../http/json-lines.ts';
import type { Route } from '../http/router.ts';
import type { EngineApiOptions } from '../options.ts';
import { BuildLines } from './build-lines.ts';
import { buildSettings } from './build-request.ts';
import { BuildContexts } from './context.ts';
import { pruneBuildCache } from './prune-cache.ts';

/** `/build`, and BuildKit's two doors, which stay shut. */
export async function buildRoutes(options: EngineApiOptions): Promise<readonly Route[]> {
  const { temporaryDirectory, random = systemRandom, log } = options;
  const contexts = new BuildContexts(temporaryDirectory, random, log);
  await contexts.cleanUp();
  const noBuildKit: Route['handle'] = () => {
    throw new WherryError('unsupported', 'BuildKit is not served here: build with DOCKER_BUILDKIT=0');
  };
  return [
    { method: 'POST', path: '/build', handle: (exchange) => build(options, contexts, exchange) },
    {
      method: 'POST',
      path: '/build/prune',
      handle: (exchange) => pruneBuildCache(options, builderOf(options), exchange),
    },
    {
      method: 'POST',
      path: '/build/cancel',
      handle(exchange) {
        if (exchange.query.text('id') === '') throw new WherryError('invalid', 'build ID not provided');
        exchange.sendNothing(200);
      },
    },
    {
      method: 'POST',
      path: '/session',
      handle(exchange) {
        if (exchange.request.headers.upgrade === undefined)
          throw new WherryError('invalid', 'no upgrade proto in request');
        return noBuildKit(exchange);
      },
    },
    { method: 'POST', path: '/grpc', handle: noBuildKit },
  ];
}

function builderOf({ builder }: EngineApiOptions): Builder {
  if (builder === undefined) throw new WherryError('unsupported', 'this engine has no builder');
  return builder;
}

async function build(options: EngineApiOptions, contexts: BuildContexts, exchange: Exchange): Promise<void> {
  const { clock = systemClock } = options;
  const { query, body, signal } = exchange;
  const builder = builderOf(options);
  const settings = buildSettings(exchange);
  const source = { body, remote: query.text('remote'), dockerfile: query.text('dockerfile'), signal };
  await using context = await contexts.open(source, builder);
  const quiet = query.flag('q');
  const lines = exchange.lines('\r\n');
  const told = new BuildLines(lines, clock, {
    why: query.flag('why'),
    removes: query.flag('forcerm') || query.text('rm') === '' || query.flag('rm'),
  });
  const events: Parameters<BuildLines['add']>[0][] = [];
  try {
    const { imageId } = await builder.build({
      ...settings,
      context: context.folder,
      dockerfile: context.dockerfile,
      dockerfileName: context.dockerfileName,
      onProgress: (event) => {
        if (!quiet) told.add(event);
        else if (events.length < mostKept) events.push(event);
      },
      signal,
    });
    if (quiet) lines.write({ stream: `${imageId}\n` });
    else told.finish(settings.tags);
    lines.end();
  } catch (error) {
    // A quiet build says what it did once it has failed.
    for (const event of events) told.add(event);
    told.fail({ removesAll: query.flag('forcerm') });
    failBuild(lines, error);
  }
}

const mostKept = 10_000;

/** The exit code of a command that failed is the client's, too. */
function failBuild(lines: JsonLines, error: unknown): void {
  const exitCode = (error as { details?: { exitCode?: unknown } } | null)?.details?.exitCode;
  if (!lines.begun || typeof exitCode !== 'number') {
    lines.fail(error);
    return;
  }
  const message = messageOf(error);
  lines.write({ errorDetail: { code: exitCode, message }, error: message });
  lines.end();
}
