import type {
  V1HorizontalPodAutoscaler,
  V2HorizontalPodAutoscaler,
  V2HPAScalingRules,
  V2MetricSpec,
  V2MetricStatus,
  V2MetricTarget,
  V2MetricValueStatus,
} from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import type { ApiObject } from '../../kind.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { ageColumn, nameColumn } from '../shared/columns.ts';

/** Where autoscaling/v1 keeps the metrics that it has no fields for. */
const metricsAnnotation = 'autoscaling.alpha.kubernetes.io/metrics';
const currentAnnotation = 'autoscaling.alpha.kubernetes.io/current-metrics';
const behaviourAnnotation = 'autoscaling.alpha.kubernetes.io/behavior';

const cpuTarget: () => V2MetricSpec = () => ({
  type: 'Resource',
  resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } },
});

function defaultRules(rules: V2HPAScalingRules, up: boolean): void {
  rules.selectPolicy ??= 'Max';
  if (up) rules.stabilizationWindowSeconds ??= 0;
  if (!rules.policies?.length) {
    rules.policies = up
      ? [
          { type: 'Pods', value: 4, periodSeconds: 15 },
          { type: 'Percent', value: 100, periodSeconds: 15 },
        ]
      : [{ type: 'Percent', value: 100, periodSeconds: 15 }];
  }
}

function defaults(scaler: V2HorizontalPodAutoscaler): void {
  scaler.spec ??= { maxReplicas: 0, scaleTargetRef: { kind: '', name: '' } };
  scaler.status = { desiredReplicas: 0, ...scaler.status };
  scaler.spec.minReplicas ??= 1;
  if (!scaler.spec.metrics?.length) scaler.spec.metrics = [cpuTarget()];
  const behaviour = scaler.spec.behavior;
  if (!behaviour) return;
  behaviour.scaleUp ??= {};
  behaviour.scaleDown ??= {};
  defaultRules(behaviour.scaleUp, true);
  defaultRules(behaviour.scaleDown, false);
}

function validate(scaler: V2HorizontalPodAutoscaler): FieldError[] {
  const spec = scaler.spec!;
  const errors: FieldError[] = [];
  const least = spec.minReplicas ?? 1;
  if (least < 1) errors.push(field.invalid('spec.minReplicas', least, 'must be greater than or equal to 1'));
  if (spec.maxReplicas < 1) errors.push(field.invalid('spec.maxReplicas', spec.maxReplicas, 'must be greater than 0'));
  if (spec.maxReplicas < least) {
    errors.push(field.invalid('spec.maxReplicas', spec.maxReplicas, 'must be greater than or equal to `minReplicas`'));
  }
  if (!spec.scaleTargetRef?.kind) errors.push(field.required('spec.scaleTargetRef.kind'));
  if (!spec.scaleTargetRef?.name) errors.push(field.required('spec.scaleTargetRef.name'));
  (spec.metrics ?? []).forEach((metric, index) => {
    const at = `spec.metrics[${index}]`;
    const types = ['ContainerResource', 'External', 'Object', 'Pods', 'Resource'];
    if (!types.includes(metric.type)) errors.push(field.notSupported(`${at}.type`, metric.type, types));
    else if (!sourceOf(metric)) {
      const name = metric.type[0]!.toLowerCase() + metric.type.slice(1);
      const words = `must populate information for the given metric source`;
      errors.push(field.required(`${at}.${name}`, words));
    }
  });
  return errors;
}

interface Source {
  readonly label: string;
  readonly target: V2MetricTarget;
}

function sourceOf(metric: V2MetricSpec): Source | undefined {
  const { resource, containerResource, pods, object, external } = metric;
  if (resource) return { label: `${resource.name}: `, target: resource.target };
  if (containerResource) return { label: `${containerResource.name}: `, target: containerResource.target };
  const named = pods ?? object ?? external;
  return named ? { label: '', target: named.target } : undefined;
}

function currentOf(status: V2MetricStatus | undefined): V2MetricValueStatus | undefined {
  if (!status) return undefined;
  return (status.resource ?? status.containerResource ?? status.pods ?? status.object ?? status.external)?.current;
}

function metricText(metric: V2MetricSpec, status: V2MetricStatus | undefined): string {
  const source = sourceOf(metric);
  if (!source) return '<unknown type>';
  const { label } = source;
  const target: Partial<V2MetricTarget> = source.target ?? {};
  const current = currentOf(status);
  if (target.averageUtilization !== undefined) {
    const now = current?.averageUtilization;
    return `${label}${now === undefined ? '<unknown>' : `${now}%`}/${target.averageUtilization}%`;
  }
  if (target.averageValue !== undefined) {
    const suffix = metric.object || metric.external ? ' (avg)' : '';
    return `${label}${current?.averageValue ?? '<unknown>'}/${target.averageValue}${suffix}`;
  }
  return `${label}${current?.value ?? '<unknown>'}/${target.value ?? '<auto>'}`;
}

function targetsText(scaler: V2HorizontalPodAutoscaler): string {
  const metrics = scaler.spec?.metrics ?? [];
  if (metrics.length === 0) return '<none>';
  const current = scaler.status?.currentMetrics ?? [];
  const shown = metrics
    .slice(0, 2)
    .map((metric, index) => metricText(metric, current[index]))
    .join(', ');
  return metrics.length > 2 ? `${shown} + ${metrics.length - 2} more...` : shown;
}

const columns = printer<V2HorizontalPodAutoscaler>([
  nameColumn,
  { name: 'Reference', cell: ({ spec }) => `${spec?.scaleTargetRef?.kind}/${spec?.scaleTargetRef?.name}` },
  { name: 'Targets', cell: targetsText },
  { name: 'MinPods', cell: ({ spec }) => String(spec?.minReplicas ?? '<unset>') },
  { name: 'MaxPods', type: 'integer', cell: ({ spec }) => spec?.maxReplicas ?? 0 },
  { name: 'Replicas', type: 'integer', cell: ({ status }) => status?.currentReplicas ?? 0 },
  ageColumn,
]);

export const autoscalerBehaviour = behaviourOf<V2HorizontalPodAutoscaler>({
  defaults,
  prepareForCreate: (scaler) => {
    scaler.status = { desiredReplicas: 0 };
  },
  validate,
  ...columns,
});

function isCpu(metric: V2MetricSpec): boolean {
  return metric.resource?.name === 'cpu' && metric.resource.target?.averageUtilization !== undefined;
}

/** A copy of the annotations without those that carry what v1 has no fields for. */
function otherAnnotations(object: ApiObject): Record<string, string> {
  const rest = { ...object.metadata?.annotations };
  for (const key of [metricsAnnotation, currentAnnotation, behaviourAnnotation]) delete rest[key];
  return rest;
}

function withAnnotations(object: ApiObject, annotations: Record<string, string>): NonNullable<ApiObject['metadata']> {
  const { annotations: _old, ...metadata } = object.metadata ?? {};
  return Object.keys(annotations).length > 0 ? { ...metadata, annotations } : metadata;
}

function toV1(stored: ApiObject): ApiObject {
  const { spec, status } = stored as unknown as V2HorizontalPodAutoscaler;
  const annotations = otherAnnotations(stored);
  const cpu = spec?.metrics?.find(isCpu);
  const others = (spec?.metrics ?? []).filter((metric) => metric !== cpu);
  if (others.length > 0) annotations[metricsAnnotation] = JSON.stringify(others);
  if (spec?.behavior) annotations[behaviourAnnotation] = JSON.stringify(spec.behavior);
  const current = (status?.currentMetrics ?? []).find((metric) => metric.resource?.name === 'cpu');
  const utilisation = current?.resource?.current?.averageUtilization;
  const { currentMetrics: _metrics, conditions: _conditions, ...plain } = status ?? { desiredReplicas: 0 };
  return {
    ...stored,
    apiVersion: 'autoscaling/v1',
    metadata: withAnnotations(stored, annotations),
    spec: {
      maxReplicas: spec?.maxReplicas ?? 0,
      ...(spec?.minReplicas === undefined ? {} : { minReplicas: spec.minReplicas }),
      scaleTargetRef: spec?.scaleTargetRef,
      ...(cpu ? { targetCPUUtilizationPercentage: cpu.resource!.target.averageUtilization } : {}),
    },
    status: {
      ...plain,
      currentReplicas: plain.currentReplicas ?? 0,
      ...(utilisation === undefined ? {} : { currentCPUUtilizationPercentage: utilisation }),
    },
  };
}

function parseAnnotation(object: ApiObject, key: string): unknown {
  const text = object.metadata?.annotations?.[key];
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function toV2(own: ApiObject): ApiObject {
  const { spec, status } = own as unknown as V1HorizontalPodAutoscaler;
  const others = parseAnnotation(own, metricsAnnotation);
  const behavior = parseAnnotation(own, behaviourAnnotation);
  const metrics: V2MetricSpec[] = Array.isArray(others) ? (others as V2MetricSpec[]) : [];
  const percent = spec?.targetCPUUtilizationPercentage;
  if (percent !== undefined) {
    metrics.push({
      type: 'Resource',
      resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: percent } },
    });
  }
  return {
    ...own,
    apiVersion: 'autoscaling/v2',
    metadata: withAnnotations(own, otherAnnotations(own)),
    spec: {
      maxReplicas: spec?.maxReplicas ?? 0,
      ...(spec?.minReplicas === undefined ? {} : { minReplicas: spec.minReplicas }),
      scaleTargetRef: spec?.scaleTargetRef,
      ...(metrics.length > 0 ? { metrics } : {}),
      ...(behavior ? { behavior } : {}),
    },
    status: { currentReplicas: status?.currentReplicas ?? 0, desiredReplicas: status?.desiredReplicas ?? 0 },
  };
}

/** autoscaling/v1: the same stored objects with the CPU target as a field of its own. */
export const oldAutoscalerBehaviour = behaviourOf<V1HorizontalPodAutoscaler>({
  view: {
    of: { group: 'autoscaling', version: 'v2', resource: 'horizontalpodautoscalers' },
    fromStored: toV1,
    toStored: toV2,
  },
  columns: columns.columns,
  cells: (object, now) => columns.cells!(toV2(object), now),
});
