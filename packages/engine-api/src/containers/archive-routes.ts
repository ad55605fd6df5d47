import { WherryError } from '@wherry/base';
import type { DockerContainers, PathStat } from '@wherry/docker';
import type { Exchange } from '../http/exchange.ts';
import type { Route } from '../http/router.ts';
import { nameOf } from './lifecycle-routes.ts';

/** Files of containers: copying, exporting, committing. */
export function archiveRoutes(containers: DockerContainers): readonly Route[] {
  return [
    {
      method: 'HEAD',
      path: '/containers/{name:.*}/archive',
      async handle(exchange) {
        const stat = await containers.statPath(nameOf(exchange), pathOf(exchange));
        exchange.response.writeHead(200, { [statHeader]: encodeStat(stat), 'Content-Length': 0 }).end();
      },
    },
    {
      method: 'GET',
      path: '/containers/{name:.*}/archive',
      async handle(exchange) {
        const { stat, archive } = await containers.getArchive(nameOf(exchange), pathOf(exchange));
        await exchange.stream('application/x-tar', archive, { [statHeader]: encodeStat(stat) });
      },
    },
    {
      method: 'PUT',
      path: '/containers/{name:.*}/archive',
      async handle(exchange) {
        const { query } = exchange;
        await containers.putArchive(nameOf(exchange), pathOf(exchange), exchange.body, {
          noOverwriteDirNonDir: query.flag('noOverwriteDirNonDir'),
          copyUidGid: query.flag('copyUIDGID'),
        });
        exchange.sendNothing(200);
      },
    },
    {
      method: 'GET',
      path: '/containers/{name:.*}/export',
      async handle(exchange) {
        await exchange.stream('application/octet-stream', await containers.export(nameOf(exchange)));
      },
    },
    { method: 'POST', path: '/commit', handle: (exchange) => commit(containers, exchange) },
  ];
}

const statHeader = 'X-Docker-Container-Path-Stat';

function pathOf({ query }: Exchange): string {
  const path = query.text('path');
  if (path === '') throw new WherryError('invalid', 'bad parameter: pathcannot be empty');
  return path;
}

function encodeStat({ name, size, mode, mtime, linkTarget }: PathStat): string {
  return Buffer.from(JSON.stringify({ name, size, mode, mtime, linkTarget })).toString('base64');
}

async function commit(containers: DockerContainers, exchange: Exchange): Promise<void> {
  const { query } = exchange;
  const config = await exchange.json();
  const { Id } = await containers.commit({
    container: query.text('container'),
    repo: query.optional('repo'),
    tag: query.optional('tag'),
    author: query.optional('author'),
    comment: query.optional('comment'),
    pause: query.flag('pause', true),
    changes: query.all('changes'),
    ...(Object.keys(config).length === 0 ? {} : { config }),
  });
  exchange.send(201, { Id });
}
