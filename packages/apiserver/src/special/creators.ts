import { type ApiObject, badRequestError, type KindDeclaration } from '@wherry/api';
import type { Authenticator, Authorizer, TokenIssuer } from '../auth/contract.ts';
import { admissionRequest } from '../pipeline/admit.ts';
import type { Core } from '../pipeline/core.ts';
import { decodeBody } from '../pipeline/decode.ts';
import { bindPod, evictPod } from './pods.ts';
import { reviewCreators } from './reviews.ts';
import { type Creator, Subresources } from './subresources.ts';
import { requestToken } from './tokens.ts';

/** All that is created without being stored. */
export function createSubresources(
  core: Core,
  parts: { readonly authenticator: Authenticator; readonly authorizer: Authorizer; readonly issuer: TokenIssuer },
): Subresources {
  const creators = new Map<string, Creator>([
    ...reviewCreators(parts.authenticator, parts.authorizer),
    ['/pods/binding', decoded(bodies.binding, (target, body, options) => bindPod(core, target, body, options))],
    ['/pods/eviction', decoded(bodies.eviction, (target, body, options) => evictPod(core, target, body, options))],
    [
      '/serviceaccounts/token',
      decoded(bodies.token, async (target, body, options) => {
        const request = admissionRequest('CREATE', target, target.name, body as ApiObject, undefined, options);
        // Of the plug-ins only this one has to do with tokens; a namespace that ends still gives them to its pods.
        await core.admission.find(({ name }) => name === 'NodeRestriction')?.admit?.(request, core.reader);
        return requestToken(core, parts.issuer, target, body);
      }),
    ],
    [
      '/bindings',
      (target, body, options) => {
        const name = (body as { metadata?: { name?: string } }).metadata?.name;
        const kind = core.catalog.find('', 'v1', 'pods');
        if (!name || kind === undefined) throw badRequestError('name is required');
        return bindPod(core, { ...target, kind, name }, body, options);
      },
    ],
  ]);
  return new Subresources(core, creators);
}

const body = (group: string, kind: string, schema: string): KindDeclaration => ({
  group,
  version: 'v1',
  kind,
  schema,
  resource: '',
  singular: '',
  namespaced: true,
});

/** As what the bodies of these subresources are decoded. */
const bodies = {
  binding: body('', 'Binding', 'V1Binding'),
  eviction: body('policy', 'Eviction', 'V1Eviction'),
  token: body('authentication.k8s.io', 'TokenRequest', 'AuthenticationV1TokenRequest'),
};

function decoded(kind: KindDeclaration, creator: Creator): Creator {
  return async (target, value, options) => creator(target, decodeBody(kind, value, options), options);
}
