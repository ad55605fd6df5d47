import { messageOf } from '@wherry/base';
import type { AttachedStreams, DockerContainers, JsonObject } from '@wherry/docker';
import { BodyFields } from '../http/body-fields.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Route } from '../http/router.ts';
import { frame } from '../streams/frames.ts';
import { hijack } from '../streams/hijack.ts';
import { runSession } from '../streams/session.ts';
import { nameOf } from './lifecycle-routes.ts';
import { sizeOf } from './observation-routes.ts';

/** Commands in running containers. */
export function execRoutes(containers: DockerContainers): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/containers/{name:.*}/exec',
      async handle(exchange) {
        exchange.send(201, await containers.createExec(nameOf(exchange), await exchange.json()));
      },
    },
    { method: 'POST', path: '/exec/{name:.*}/start', handle: (exchange) => startExec(containers, exchange) },
    {
      method: 'POST',
      path: '/exec/{name:.*}/resize',
      async handle(exchange) {
        await containers.resizeExec(nameOf(exchange), sizeOf(exchange));
        exchange.sendNothing(200);
      },
    },
    {
      method: 'GET',
      path: '/exec/{id:.*}/json',
      async handle(exchange) {
        exchange.send(200, await containers.inspectExec(exchange.parameter('id')));
      },
    },
  ];
}

async function startExec(containers: DockerContainers, exchange: Exchange): Promise<void> {
  const id = nameOf(exchange);
  const body = await exchange.json();
  const fields = new BodyFields(body, 'ExecStartCheck');
  const [detach, tty] = [fields.flag('Detach'), fields.flag('Tty')];
  const size = consoleSize(body);
  // One that is not there, or whose container does not run, is refused before the connection leaves HTTP.
  await containers.checkExec(id);
  const options = { detach, tty, ...(size === undefined ? {} : { size }) };
  if (detach) {
    await containers.startExec(id, options);
    return exchange.sendNothing(200);
  }
  // Before the start: docker-py loses what comes in one piece with the head.
  const socket = hijack(exchange, tty);
  let streams: AttachedStreams;
  try {
    streams = (await containers.startExec(id, options))!;
  } catch (error) {
    const text = Buffer.from(`${messageOf(error)}\r\n`);
    socket.end(tty ? text : frame('stdout', text));
    socket.resume();
    return;
  }
  // Whether there are frames is the caller's word here, not that of who made the command.
  await runSession(socket, streams, { framed: !tty });
}

/** `[height, width]`, as clients since 1.42 send it. */
function consoleSize({ ConsoleSize }: JsonObject): { height: number; width: number } | undefined {
  if (!Array.isArray(ConsoleSize)) return undefined;
  const [height, width] = ConsoleSize as unknown[];
  return Number.isInteger(height) && Number.isInteger(width)
    ? { height: height as number, width: width as number }
    : undefined;
}
