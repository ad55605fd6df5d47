import type { Action } from '../auth/access.ts';
import type { Authentication, Need } from '../auth/authentication.ts';
import type { RegistryContext } from '../context.ts';
import { isRepositoryName, parseRepositoryName, type RepositoryName } from '../names.ts';
import { refusal } from '../refusal.ts';
import { deleteBlob, getBlob } from './blobs.ts';
import { listReferrers, listRepositories, listTags } from './discovery.ts';
import type { Exchange } from './exchange.ts';
import { deleteManifest, getManifest, putManifest } from './manifests.ts';
import { checkMethod, methodsOf, type Route, routeOf } from './routes.ts';
import { beginUpload, cancelUpload, patchUpload, putUpload, uploadStatus } from './uploads.ts';

/** Answers a request beneath `/v2/`: route, who asks, whether they may, then the work. */
export async function dispatch(context: RegistryContext, auth: Authentication, exchange: Exchange): Promise<void> {
  exchange.setHeader('Docker-Distribution-API-Version', 'registry/2.0');
  const route = routeOf(exchange.path);
  if (route === undefined) throw refusal('NAME_UNKNOWN', 'the registry has no such path');
  exchange.route = route.kind;
  exchange.identity = await auth.identify(exchange);
  if (route.kind === 'base') {
    checkMethod(route, exchange.method);
    if (auth.required && exchange.identity.user === undefined) throw auth.denial(exchange, exchange.identity, []);
    exchange.send(200, { 'Content-Type': 'application/json; charset=utf-8' }, '{}');
    return;
  }
  if (route.kind === 'catalog') {
    checkMethod(route, exchange.method);
    if (!auth.mayList(exchange.identity)) throw auth.denial(exchange, exchange.identity, 'catalog');
    listRepositories(context, exchange);
    return;
  }
  const name = parseRepositoryName(route.name);
  const needs = needsOf(route, name, exchange);
  if (!needs.slice(0, 1).every((need) => auth.allows(exchange.identity, need.name, need.action)))
    throw auth.denial(exchange, exchange.identity, needs);
  checkMethod(route, exchange.method);
  checkWritable(context, exchange, route);
  await answer(context, exchange, route, name);
}

/** The first is what the request needs; what follows would make it cheaper. */
function needsOf(route: Route, name: RepositoryName, { method, query }: Exchange): readonly Need[] {
  const from = query.get('from');
  if (route.kind === 'uploads' && query.has('mount') && from !== null && isRepositoryName(from) && from !== name)
    return [
      { name, action: 'push' },
      { name: from, action: 'pull' },
    ];
  return [{ name, action: actionOf(route, method) }];
}

function actionOf(route: Route, method: string): Action {
  // What is being pushed is seen and given up by who pushes.
  if (route.kind === 'upload' || route.kind === 'uploads') return 'push';
  if (method === 'DELETE') return 'delete';
  return reads(method) ? 'pull' : 'push';
}

const reads = (method: string): boolean => method === 'GET' || method === 'HEAD';

function checkWritable(context: RegistryContext, { method }: Exchange, { kind }: Route): void {
  if (reads(method)) return;
  if (context.upstream) throw unwritable(kind, reads, 'this registry is a pull-through cache: push to its upstream');
  if (context.readOnly) throw unwritable(kind, reads, 'this registry is in read-only mode');
  if (context.keepAll && method === 'DELETE' && kind !== 'upload')
    throw unwritable(kind, (other) => other !== 'DELETE', 'this registry deletes nothing');
}

function unwritable(kind: Route['kind'], left: (method: string) => boolean, why: string): Error {
  return refusal('UNSUPPORTED', why, { headers: { Allow: methodsOf(kind).filter(left).join(', ') } });
}

async function answer(
  context: RegistryContext,
  exchange: Exchange,
  route: Exclude<Route, { kind: 'base' | 'catalog' }>,
  name: RepositoryName,
): Promise<void> {
  const { method } = exchange;
  switch (route.kind) {
    case 'tags':
      return await listTags(context, exchange, name);
    case 'referrers':
      return await listReferrers(context, exchange, name, route.reference);
    case 'manifest':
      if (method === 'PUT') return await putManifest(context, exchange, name, route.reference);
      if (method === 'DELETE') return await deleteManifest(context, exchange, name, route.reference);
      return await getManifest(context, exchange, name, route.reference);
    case 'blob':
      if (method === 'DELETE') return await deleteBlob(context, exchange, name, route.reference);
      return await getBlob(context, exchange, name, route.reference);
    case 'uploads':
      return await beginUpload(context, exchange, name);
    case 'upload':
      if (method === 'PATCH') return await patchUpload(context, exchange, name, route.id);
      if (method === 'PUT') return await putUpload(context, exchange, name, route.id);
      if (method === 'DELETE') return await cancelUpload(context, exchange, name, route.id);
      return await uploadStatus(context, exchange, name, route.id);
  }
}
