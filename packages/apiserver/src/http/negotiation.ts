import { statusError } from '@wherry/api';

export type Shape = 'object' | 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';

/** The form in which a response is asked for. */
export interface Form {
  readonly type: 'json' | 'yaml';
  readonly shape: Shape;
}

const json: Form = { type: 'json', shape: 'object' };
const remembered = new Map<string, Form | undefined>();
const mostRemembered = 256;

/** Chooses among the media types of an `Accept` header. Error 406. */
export function negotiate(accept: string | undefined): Form {
  if (accept === undefined || accept === '' || accept === 'application/json' || accept === '*/*') return json;
  let form = remembered.get(accept);
  if (form === undefined && !remembered.has(accept)) {
    form = choose(accept);
    if (remembered.size >= mostRemembered) remembered.clear();
    remembered.set(accept, form);
  }
  if (form !== undefined) return form;
  throw statusError('invalid', 'only the following media types are accepted: application/json, application/yaml', {
    reason: 'NotAcceptable',
    code: 406,
  });
}

function choose(accept: string): Form | undefined {
  let best: { form: Form; quality: number } | undefined;
  for (const clause of accept.split(',')) {
    const [name, ...parameters] = clause.split(';').map((part) => part.trim());
    const values = new Map(parameters.map((p) => p.split('=').map((part) => part.trim()) as [string, string]));
    const type = mediaType(name ?? '');
    const shape = shapeOf(values);
    if (type === undefined || shape === undefined) continue;
    const quality = values.has('q') ? Number(values.get('q')) : 1;
    if (quality > 0 && (best === undefined || quality > best.quality)) best = { form: { type, shape }, quality };
  }
  return best?.form;
}

function mediaType(name: string): Form['type'] | undefined {
  switch (name.toLowerCase()) {
    case 'application/json':
    case 'application/*':
    case '*/*':
      return 'json';
    case 'application/yaml':
      return 'yaml';
    default:
      return undefined;
  }
}

function shapeOf(values: ReadonlyMap<string, string>): Shape | undefined {
  const as = values.get('as');
  if (as === undefined) return 'object';
  if (values.get('g') !== 'meta.k8s.io' || values.get('v') !== 'v1') return undefined;
  return as === 'Table' || as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList' ? as : undefined;
}
