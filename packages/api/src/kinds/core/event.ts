import type { CoreV1Event, EventsV1Event } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import type { ApiObject } from '../../kind.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { ageOf } from '../shared/duration.ts';

function lastSeen(event: CoreV1Event, now: number): string {
  const at = event.series?.lastObservedTime ?? event.lastTimestamp ?? event.firstTimestamp ?? event.eventTime;
  return ageOf(at, now);
}

function objectText(event: CoreV1Event): string {
  const { kind = '', name = '' } = event.involvedObject ?? {};
  return name ? `${kind.toLowerCase()}/${name}` : kind.toLowerCase();
}

function sourceText(event: CoreV1Event): string {
  const component = event.source?.component || event.reportingComponent || '';
  const host = event.source?.host || event.reportingInstance || '';
  return host ? `${component}, ${host}` : component;
}

function validate(event: CoreV1Event): FieldError[] {
  const involved = event.involvedObject?.namespace ?? '';
  const own = event.metadata?.namespace ?? '';
  // Cluster-scoped objects have their events in the default namespace.
  const fits = involved === own || (involved === '' && (own === 'default' || own === ''));
  return fits ? [] : [field.invalid('involvedObject.namespace', involved, 'does not match event.namespace')];
}

const selectable = [
  'involvedObject.kind',
  'involvedObject.namespace',
  'involvedObject.name',
  'involvedObject.uid',
  'involvedObject.apiVersion',
  'involvedObject.resourceVersion',
  'involvedObject.fieldPath',
  'reason',
  'reportingComponent',
  'source',
  'type',
];

function selectableFields(event: CoreV1Event): Record<string, string> {
  const object = event.involvedObject ?? {};
  return {
    'involvedObject.kind': object.kind ?? '',
    'involvedObject.namespace': object.namespace ?? '',
    'involvedObject.name': object.name ?? '',
    'involvedObject.uid': object.uid ?? '',
    'involvedObject.apiVersion': object.apiVersion ?? '',
    'involvedObject.resourceVersion': object.resourceVersion ?? '',
    'involvedObject.fieldPath': object.fieldPath ?? '',
    reason: event.reason ?? '',
    reportingComponent: event.reportingComponent ?? '',
    source: event.source?.component || event.reportingComponent || '',
    type: event.type ?? '',
  };
}

const eventPrinter = printer<CoreV1Event>([
  { name: 'Last Seen', cell: lastSeen },
  { name: 'Type', cell: (event) => event.type ?? '' },
  { name: 'Reason', cell: (event) => event.reason ?? '' },
  { name: 'Object', cell: objectText },
  { name: 'Subobject', wide: true, cell: (event) => event.involvedObject?.fieldPath ?? '' },
  { name: 'Source', wide: true, cell: sourceText },
  { name: 'Message', cell: (event) => (event.message ?? '').trim() },
  {
    name: 'First Seen',
    wide: true,
    cell: (event, now) => ageOf(event.firstTimestamp ?? event.eventTime, now),
  },
  { name: 'Count', wide: true, cell: (event) => String(event.series?.count ?? event.count ?? 1) },
  { name: 'Name', wide: true, cell: (event) => event.metadata?.name ?? '' },
]);

export const eventBehaviour = behaviourOf<CoreV1Event>({
  defaults: (event) => {
    event.reportingComponent ??= '';
    event.reportingInstance ??= '';
    event.source ??= {};
    event.involvedObject ??= {};
  },
  validate,
  selectableFields,
  selectableFieldNames: selectable,
  ...eventPrinter,
});

/** Pairs of fields that have another name in events.k8s.io/v1 than in core/v1. */
const renamed = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['reportingComponent', 'reportingController'],
] as const;

function rename(from: ApiObject, apiVersion: string, way: 0 | 1): ApiObject {
  const to: ApiObject = { ...from, apiVersion };
  for (const pair of renamed) {
    const value = from[pair[way]];
    delete to[pair[way]];
    if (value !== undefined) to[pair[way === 0 ? 1 : 0]] = value;
  }
  return to;
}

/** events.k8s.io/v1: the same stored objects in newer words. */
export const newEventBehaviour = behaviourOf<EventsV1Event>({
  view: {
    of: { group: '', version: 'v1', resource: 'events' },
    fromStored: (stored) => rename(stored, 'events.k8s.io/v1', 0),
    toStored: (own) => rename(own, 'v1', 1),
  },
  selectableFields: (event) => {
    const core = rename(event as unknown as ApiObject, 'v1', 1) as unknown as CoreV1Event;
    const fields = selectableFields(core);
    const own: Record<string, string> = { reason: fields.reason!, type: fields.type! };
    own.reportingController = fields.reportingComponent!;
    for (const [key, value] of Object.entries(fields)) {
      if (key.startsWith('involvedObject.')) own[key.replace('involvedObject.', 'regarding.')] = value;
    }
    return own;
  },
  selectableFieldNames: [
    'reason',
    'type',
    'reportingController',
    ...selectable
      .filter((name) => name.startsWith('involvedObject.'))
      .map((name) => name.replace('involvedObject.', 'regarding.')),
  ],
  columns: eventPrinter.columns,
  cells: (event, now) => eventPrinter.cells!(rename(event, 'v1', 1), now),
});
