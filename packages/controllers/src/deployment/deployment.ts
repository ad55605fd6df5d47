import { alreadyExistsError, type V1Deployment, type V1Pod, type V1ReplicaSet } from '@wherry/api';
import { codeOf, messageOf } from '@wherry/base';
import {
  controllerReference,
  draftOf,
  type EventRecorder,
  equalJson,
  keyOf,
  matchesSelector,
  type ReconcileResult,
  resources,
  sharedIndexes,
} from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { claim } from '../pods/claim.ts';
import { isFinished } from '../pods/pod-facts.ts';
import { ownerKey } from '../replica-set/replica-set.ts';
import { templateHash } from '../template-hash.ts';
import {
  hashLabel,
  newAndOld,
  newSetAnnotations,
  plainTemplate,
  revisionKey,
  revisionOf,
  sizeAnnotations,
} from './replica-sets.ts';
import { beyondHistory, boundsOf, isScaling, newSize, proportionalScale, shrinkOld } from './rollout.ts';
import { planStatus, withProgress } from './status.ts';

const kind = { apiVersion: 'apps/v1', kind: 'Deployment' };

/** Rolls Deployments out: one step a pass, each seen through the ReplicaSets before the next is taken. */
export function deploymentController(context: ControllerContext): Controller {
  const { informers } = context;
  return defineController(context, {
    name: 'deployment-controller',
    kind,
    start({ queue, events }) {
      const deployments = informers.informer<V1Deployment>(resources.deployments, {
        indexes: { namespace: sharedIndexes.namespace },
      });
      const sets = informers.informer<V1ReplicaSet>(resources.replicaSets, {
        indexes: { orphan: sharedIndexes.orphan, controller: sharedIndexes.controller },
      });
      const pods = informers.informer<V1Pod>(resources.pods, { indexes: { controller: sharedIndexes.controller } });
      const add = (key: string | undefined): void => void (key && queue.add(key));

      return {
        synced: [deployments.synced, sets.synced, pods.synced],
        subscriptions: [
          deployments.onChange((change) => add(keyOf(change.object))),
          sets.onChange(({ object }) => {
            const owner = ownerKey(object, 'Deployment');
            if (owner) return add(owner);
            for (const deployment of deployments.byIndex('namespace', object.metadata?.namespace ?? ''))
              if (matchesSelector(object.metadata?.labels ?? {}, deployment.spec?.selector)) add(keyOf(deployment));
          }),
          pods.onChange((change) => {
            // Only Recreate waits for pods themselves.
            if (change.type === 'added') return;
            const set = sets.get(ownerKey(change.object, 'ReplicaSet') ?? '');
            const owner = set && ownerKey(set, 'Deployment');
            if (owner && deployments.get(owner)?.spec?.strategy?.type === 'Recreate') add(owner);
          }),
        ],
        async reconcile(key) {
          const deployment = deployments.get(key);
          if (deployment === undefined) return undefined;
          const own = await claim(
            {
              client: context.client,
              owner: deployment,
              kind,
              ownerResource: resources.deployments,
              selector: deployment.spec?.selector,
              resource: resources.replicaSets,
            },
            [
              ...sets.byIndex('controller', deployment.metadata?.uid ?? ''),
              ...sets.byIndex('orphan', deployment.metadata?.namespace ?? ''),
            ],
          );
          const podsOf = (set: V1ReplicaSet): readonly V1Pod[] => pods.byIndex('controller', set.metadata?.uid ?? '');
          return new Pass(context, events, deployment, own, podsOf).run();
        },
      };
    },
  });
}

/** One reconcile of one Deployment. */
class Pass {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #podsOf: (set: V1ReplicaSet) => readonly V1Pod[];
  readonly #old: readonly V1ReplicaSet[];
  #deployment: V1Deployment;
  #current: V1ReplicaSet | undefined;

  constructor(
    context: ControllerContext,
    events: EventRecorder,
    deployment: V1Deployment,
    sets: readonly V1ReplicaSet[],
    podsOf: (set: V1ReplicaSet) => readonly V1Pod[],
  ) {
    this.#context = context;
    this.#events = events;
    this.#deployment = deployment;
    this.#podsOf = podsOf;
    const { current, old } = newAndOld(deployment, sets);
    this.#current = current;
    this.#old = old;
  }

  async run(): Promise<ReconcileResult> {
    const deployment = this.#deployment;
    if (deployment.metadata?.deletionTimestamp) return this.#writeStatus();
    const sets = this.#sets();
    if (deployment.spec?.paused || isScaling(deployment, sets)) {
      if (this.#current) await this.#dress(this.#current);
      for (const { set, to } of proportionalScale(deployment, this.#current, this.#old)) await this.#resize(set, to);
      if (deployment.spec?.paused) await this.#cleanUp();
      return this.#writeStatus();
    }
    if (deployment.spec?.strategy?.type === 'Recreate') await this.#recreate();
    else await this.#roll();
    return this.#writeStatus();
  }

  #sets(): V1ReplicaSet[] {
    return this.#current ? [...this.#old, this.#current] : [...this.#old];
  }

  async #roll(): Promise<void> {
    const created = await this.#ensureNew();
    if (created) return;
    const wanted = this.#deployment.spec?.replicas ?? 1;
    const current = this.#current!;
    const size = current.spec?.replicas ?? 1;
    const to = size > wanted ? wanted : newSize(this.#deployment, this.#sets(), current);
    if (to !== size) return this.#resize(current, to);
    const shrink = shrinkOld(this.#deployment, current, this.#old);
    for (const { set, to: smaller } of shrink) await this.#resize(set, smaller);
    if (shrink.length === 0) await this.#cleanUp();
  }

  async #recreate(): Promise<void> {
    const living = this.#old.filter((set) => (set.spec?.replicas ?? 1) > 0);
    for (const set of living) await this.#resize(set, 0);
    if (living.length > 0) return;
    if (this.#old.some((set) => this.#podsOf(set).some((pod) => !isFinished(pod)))) return;
    if (await this.#ensureNew()) return;
    const wanted = this.#deployment.spec?.replicas ?? 1;
    if ((this.#current!.spec?.replicas ?? 1) !== wanted) return this.#resize(this.#current!, wanted);
    await this.#cleanUp();
  }

  async #cleanUp(): Promise<void> {
    const complete = planStatus(this.#deployment, this.#current, this.#old, this.#context.clock.now()).status;
    const wanted = this.#deployment.spec?.replicas ?? 1;
    if (!this.#deployment.spec?.paused && (complete.updatedReplicas ?? 0) !== wanted) return;
    for (const set of beyondHistory(this.#deployment, this.#old, revisionOf)) {
      const { namespace, name, uid } = set.metadata ?? {};
      try {
        await this.#context.client.delete(
          resources.replicaSets,
          { namespace, name: name! },
          uid ? { preconditions: { uid }, propagationPolicy: 'Background' } : {},
        );
      } catch (error) {
        if (codeOf(error) !== 'notFound') throw error;
      }
    }
  }

  /** Makes the ReplicaSet of the current template; `true` when it had to be created. */
  async #ensureNew(): Promise<boolean> {
    if (this.#current) {
      await this.#dress(this.#current);
      return false;
    }
    const set = this.#newSet();
    const { client, clock } = this.#context;
    try {
      this.#current = await client.create<V1ReplicaSet>(resources.replicaSets, set);
    } catch (error) {
      if (codeOf(error) !== 'alreadyExists') {
        const message = `Failed to create new replica set "${set.metadata?.name}": ${messageOf(error)}`;
        this.#events.event(this.#deployment, 'Warning', 'ReplicaSetCreateError', message);
        throw error;
      }
      await this.#resolveCollision(set);
      return true;
    }
    const name = this.#current.metadata?.name;
    const size = this.#current.spec?.replicas ?? 0;
    if (size > 0)
      this.#events.event(
        this.#deployment,
        'Normal',
        'ScalingReplicaSet',
        `Scaled up replica set ${name} from 0 to ${size}`,
      );
    this.#progress('NewReplicaSetCreated', `Created new replica set "${name}"`, clock.now());
    await this.#annotateDeployment(set.metadata?.annotations?.[revisionKey]);
    return true;
  }

  #newSet(): V1ReplicaSet {
    const deployment = this.#deployment;
    const template = draftOf(deployment.spec!.template);
    const hash = templateHash(plainTemplate(template), deployment.status?.collisionCount);
    template.metadata = { ...template.metadata, labels: { ...template.metadata?.labels, [hashLabel]: hash } };
    const wanted = deployment.spec?.replicas ?? 1;
    const { matchLabels = {}, matchExpressions } = deployment.spec?.selector ?? {};
    return {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: {
        name: `${deployment.metadata?.name}-${hash}`,
        ...(deployment.metadata?.namespace ? { namespace: deployment.metadata.namespace } : {}),
        labels: template.metadata.labels,
        annotations: {
          ...newSetAnnotations(deployment, undefined, this.#old),
          ...sizeAnnotations(wanted, wanted + boundsOf(deployment).surge),
        },
        ownerReferences: [controllerReference(deployment, kind)],
      },
      spec: {
        replicas: newSize(deployment, this.#old, undefined),
        ...(deployment.spec?.minReadySeconds ? { minReadySeconds: deployment.spec.minReadySeconds } : {}),
        selector: {
          matchLabels: { ...matchLabels, [hashLabel]: hash },
          ...(matchExpressions?.length ? { matchExpressions: draftOf(matchExpressions) } : {}),
        },
        template,
      },
    };
  }

  /** The name is taken: by our own set that the local copy does not show yet, or by another template of equal hash. */
  async #resolveCollision(set: V1ReplicaSet): Promise<void> {
    const { client } = this.#context;
    const { namespace, name } = set.metadata ?? {};
    const found = await client.get<V1ReplicaSet>(resources.replicaSets, { namespace, name: name! });
    const ours = found.metadata?.ownerReferences?.some(
      (reference) => reference.controller && reference.uid === this.#deployment.metadata?.uid,
    );
    if (ours && equalJson(plainTemplate(found.spec?.template), plainTemplate(set.spec?.template))) {
      this.#current = found;
      return;
    }
    const collisionCount = (this.#deployment.status?.collisionCount ?? 0) + 1;
    const next = { ...this.#deployment, status: { ...this.#deployment.status, collisionCount } };
    this.#deployment = await client.update<V1Deployment>(resources.deployments, next, { subresource: 'status' });
    throw alreadyExistsError(resources.replicaSets, name!);
  }

  /** Brings annotations and minReadySeconds of the new ReplicaSet up to date, and the Deployment's revision. */
  async #dress(set: V1ReplicaSet): Promise<void> {
    const annotations = newSetAnnotations(this.#deployment, set, this.#old);
    const minReadySeconds = this.#deployment.spec?.minReadySeconds;
    const same = (set.spec?.minReadySeconds ?? 0) === (minReadySeconds ?? 0);
    if (!same || !equalJson(annotations, set.metadata?.annotations)) {
      const next = { ...set, metadata: { ...set.metadata, annotations }, spec: { ...set.spec!, minReadySeconds } };
      this.#current = await this.#context.client.update<V1ReplicaSet>(resources.replicaSets, next);
    }
    const conditions = this.#deployment.status?.conditions;
    if (!conditions?.some(({ type }) => type === 'Progressing') && this.#deployment.spec?.progressDeadlineSeconds)
      this.#progress('FoundNewReplicaSet', `Found new replica set "${set.metadata?.name}"`, this.#context.clock.now());
    await this.#annotateDeployment(annotations[revisionKey]);
  }

  async #annotateDeployment(revision: string | undefined): Promise<void> {
    const { annotations } = this.#deployment.metadata ?? {};
    if (revision === undefined || annotations?.[revisionKey] === revision) return;
    const metadata = { ...this.#deployment.metadata, annotations: { ...annotations, [revisionKey]: revision } };
    const { status } = this.#deployment;
    // With the status: a change of annotations on the object itself would raise its generation.
    const changed = { ...this.#deployment, metadata };
    const written = await this.#context.client.update(resources.deployments, changed, { subresource: 'status' });
    this.#deployment = { ...written, status };
  }

  #progress(reason: string, message: string, now: number): void {
    const deadline = this.#deployment.spec?.progressDeadlineSeconds;
    if (deadline === undefined || deadline >= 2 ** 31 - 1) return;
    const condition = { type: 'Progressing', status: 'True', reason, message };
    const conditions = withProgress(this.#deployment.status?.conditions ?? [], condition, now);
    this.#deployment = { ...this.#deployment, status: { ...this.#deployment.status, conditions } };
  }

  async #resize(set: V1ReplicaSet, to: number): Promise<void> {
    const from = set.spec?.replicas ?? 1;
    const wanted = this.#deployment.spec?.replicas ?? 1;
    const annotations = {
      ...set.metadata?.annotations,
      ...sizeAnnotations(wanted, wanted + boundsOf(this.#deployment).surge),
    };
    if (from === to && equalJson(annotations, set.metadata?.annotations)) return;
    const next = { ...set, metadata: { ...set.metadata, annotations }, spec: { ...set.spec!, replicas: to } };
    const written = await this.#context.client.update<V1ReplicaSet>(resources.replicaSets, next);
    if (set === this.#current) this.#current = written;
    if (from === to) return;
    const direction = to > from ? 'up' : 'down';
    const message = `Scaled ${direction} replica set ${set.metadata?.name} from ${from} to ${to}`;
    this.#events.event(this.#deployment, 'Normal', 'ScalingReplicaSet', message);
  }

  async #writeStatus(): Promise<ReconcileResult> {
    const { client, clock, informers } = this.#context;
    const { status, after } = planStatus(this.#deployment, this.#current, this.#old, clock.now());
    const stored = informers.informer<V1Deployment>(resources.deployments).get(keyOf(this.#deployment));
    const known = { ...stored?.status, terminatingReplicas: undefined };
    if (!equalJson(known, status))
      await client.update<V1Deployment>(
        resources.deployments,
        { ...this.#deployment, status },
        { subresource: 'status' },
      );
    return after === undefined ? undefined : { after };
  }
}
