import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { badRequestError, type FieldError, field, invalidError } from '@wherry/api';
import type { LogOptions, PodStreams } from '@wherry/runtime';
import type { Response } from '../http/exchange.ts';
import type { Call, Connector } from '../http/handler.ts';
import type { Query } from '../http/query.ts';
import type { Core } from '../pipeline/core.ts';
import { containerOf, podOf, streamsOf } from './pod-target.ts';

/** `GET pods/x/log` (PodLogOptions). */
export function logConnector(core: Core, find: (node: string) => PodStreams | undefined): Connector {
  return async (call: Call) => {
    const { query, target, response, request } = call;
    if (request.method !== 'GET') throw badRequestError('logs can only be read');
    const { pod, key } = podOf(core, target);
    const container = containerOf(pod, query.get('container'));
    const options = logOptions(query, pod.metadata!.name!);
    const headers = { 'content-type': 'text/plain', 'cache-control': 'no-cache, private' };
    if (!pod.spec?.nodeName) {
      (response as ServerResponse).writeHead(200, headers);
      response.end();
      return 200;
    }
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const stream = await streamsOf(pod, find).logs(key, container, options, gone.signal);
    (response as ServerResponse).writeHead(200, headers);
    if (options.follow && 'flushHeaders' in response) response.flushHeaders();
    await copy(stream, response);
    return 200;
  };
}

function logOptions(query: Query, pod: string): LogOptions {
  const errors: FieldError[] = [];
  const positive = (name: string, least: number): number | undefined => {
    const value = query.integer(name);
    if (value !== undefined && value < least) {
      const detail = least === 0 ? 'must be greater than or equal to 0' : 'must be greater than 0';
      errors.push(field.invalid(name, value, detail));
    }
    return value;
  };
  const sinceTime = query.get('sinceTime');
  const since = sinceTime === '' ? undefined : Date.parse(sinceTime);
  if (since !== undefined && Number.isNaN(since))
    throw badRequestError(`parsing time ${JSON.stringify(sinceTime)}: it is no RFC 3339 time`);
  const sinceSeconds = positive('sinceSeconds', 1);
  if (since !== undefined && sinceSeconds !== undefined) {
    errors.push(field.forbidden('', 'at most one of `sinceTime` or `sinceSeconds` may be specified'));
  }
  const tailLines = positive('tailLines', 0);
  const limitBytes = positive('limitBytes', 1);
  const stream = query.get('stream') || 'All';
  if (stream !== 'All' && stream !== 'Stdout' && stream !== 'Stderr') {
    errors.push(field.notSupported('stream', stream, ['All', 'Stderr', 'Stdout']));
  }
  if (errors.length > 0) throw invalidError({ group: '', kind: 'PodLogOptions' }, pod, errors);
  return {
    follow: query.flag('follow'),
    previous: query.flag('previous'),
    timestamps: query.flag('timestamps'),
    sinceSeconds,
    sinceTime: since,
    tailLines,
    limitBytes,
    stream: stream as LogOptions['stream'],
  };
}

/** Copies a stream into a response with back-pressure; ends when either side does. */
export function copy(stream: Readable, response: Response): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      stream.destroy();
      resolve();
    };
    stream.on('error', () => {
      // The status line is gone already: a cut connection is all that can still be said.
      response.destroy();
      resolve();
    });
    response.once('close', stop);
    response.once('finish', resolve);
    stream.pipe(response as ServerResponse);
  });
}
