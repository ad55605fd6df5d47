import type { V1PersistentVolume, V1PersistentVolumeClaim, V1StorageClass } from '@wherry/api';
import { type EventRecorder, equalJson, type Informer, type KubeObject, keyOf, resources } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { classOf, isFor, satisfies, volumeFor } from './match.ts';

const boundByController = 'pv.kubernetes.io/bound-by-controller';
const bindCompleted = 'pv.kubernetes.io/bind-completed';

/**
 * Binds claims to volumes that are there and keeps the phases of both. The volume's `claimRef` is
 * written first and decides; whatever a crash leaves half done is completed from there.
 */
export function volumeBinder(context: ControllerContext): Controller {
  const { informers } = context;
  return defineController(context, {
    name: 'persistentvolume-controller',
    kind: { apiVersion: 'v1', kind: 'PersistentVolumeClaim' },
    // One at a time: two claims must not be given the same volume from the same local copy.
    workers: 1,
    start({ queue, events }) {
      const claims = informers.informer<V1PersistentVolumeClaim>(resources.persistentVolumeClaims);
      const volumes = informers.informer<V1PersistentVolume>(resources.persistentVolumes);
      const classes = informers.informer<V1StorageClass>(resources.storageClasses);
      const binder = new Binder(context, { claims, volumes, classes }, events);
      const unboundClaims = (): void => {
        for (const claim of claims.list()) if (claim.status?.phase !== 'Bound') queue.add(`claim/${keyOf(claim)}`);
      };
      return {
        synced: [claims.synced, volumes.synced, classes.synced],
        subscriptions: [
          claims.onChange(({ object }) => {
            queue.add(`claim/${keyOf(object)}`);
            for (const volume of volumes.list())
              if (volume.spec?.claimRef && isNamed(volume, object)) queue.add(`volume/${keyOf(volume)}`);
          }),
          volumes.onChange(({ object }) => {
            queue.add(`volume/${keyOf(object)}`);
            const { namespace, name } = object.spec?.claimRef ?? {};
            if (name !== undefined) queue.add(`claim/${namespace}/${name}`);
            unboundClaims();
          }),
          classes.onChange(unboundClaims),
        ],
        async reconcile(key) {
          const slash = key.indexOf('/');
          const name = key.slice(slash + 1);
          if (key.slice(0, slash) === 'volume') await binder.syncVolume(name);
          else await binder.syncClaim(name);
        },
      };
    },
  });
}

function isNamed({ spec }: V1PersistentVolume, { metadata }: V1PersistentVolumeClaim): boolean {
  return spec?.claimRef?.name === metadata?.name && spec?.claimRef?.namespace === metadata?.namespace;
}

interface Copies {
  readonly claims: Informer<V1PersistentVolumeClaim>;
  readonly volumes: Informer<V1PersistentVolume>;
  readonly classes: Informer<V1StorageClass>;
}

class Binder {
  readonly #context: ControllerContext;
  readonly #copies: Copies;
  readonly #events: EventRecorder;

  constructor(context: ControllerContext, copies: Copies, events: EventRecorder) {
    this.#context = context;
    this.#copies = copies;
    this.#events = events;
  }

  async syncClaim(key: string): Promise<void> {
    const claim = this.#copies.claims.get(key);
    if (claim === undefined || claim.metadata?.deletionTimestamp) return;
    if (claim.metadata?.annotations?.[bindCompleted] !== undefined) return this.#syncBound(claim);
    const wanted = claim.spec?.volumeName;
    if (wanted) return this.#syncNamed(claim, wanted);
    const volume = volumeFor(claim, this.#copies.volumes.list());
    if (volume) return this.#bind(claim, volume);
    this.#reportUnbound(claim);
    await this.#claimPhase(claim, 'Pending');
  }

  /** A claim that was bound keeps its volume, or has lost it for good. */
  async #syncBound(claim: V1PersistentVolumeClaim): Promise<void> {
    const volume = this.#copies.volumes.get(claim.spec?.volumeName ?? '');
    if (volume !== undefined && (!volume.spec?.claimRef || isFor(volume, claim))) return this.#bind(claim, volume);
    if (claim.status?.phase === 'Lost') return;
    const [reason, message] =
      volume === undefined
        ? ['ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!']
        : ['ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly'];
    this.#events.event(claim, 'Warning', reason, message);
    await this.#claimPhase(claim, 'Lost');
  }

  /** A claim that names its volume gets that one or none. */
  async #syncNamed(claim: V1PersistentVolumeClaim, name: string): Promise<void> {
    const volume = this.#copies.volumes.get(name);
    const free = volume !== undefined && (!volume.spec?.claimRef || isFor(volume, claim));
    if (free && satisfies(volume, claim)) return this.#bind(claim, volume);
    if (volume !== undefined && !free)
      this.#events.event(claim, 'Warning', 'FailedBinding', `volume "${name}" already bound to a different claim.`);
    else if (volume !== undefined) {
      const message = `Cannot bind to requested volume "${name}": the volume does not give what the claim asks for`;
      this.#events.event(claim, 'Warning', 'VolumeMismatch', message);
    }
    await this.#claimPhase(claim, 'Pending');
  }

  #reportUnbound(claim: V1PersistentVolumeClaim): void {
    const name = classOf(claim);
    if (name === '') {
      const message = 'no persistent volumes available for this claim and no storage class is set';
      this.#events.event(claim, 'Normal', 'FailedBinding', message);
      return;
    }
    const storage = this.#copies.classes.get(name);
    if (storage === undefined) {
      const message = `storageclass.storage.k8s.io ${JSON.stringify(name)} not found`;
      this.#events.event(claim, 'Warning', 'ProvisioningFailed', message);
    } else if (storage.provisioner !== 'kubernetes.io/no-provisioner') {
      const message = `Waiting for a volume to be created either by the external provisioner '${storage.provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`;
      this.#events.event(claim, 'Normal', 'ExternalProvisioning', message);
    }
  }

  /** Each step is left out when it is done already; the volume goes first. */
  async #bind(claim: V1PersistentVolumeClaim, volume: V1PersistentVolume): Promise<void> {
    const { client } = this.#context;
    let bound = volume;
    if (volume.spec?.claimRef?.uid !== claim.metadata?.uid) {
      const { name, namespace, uid, resourceVersion } = claim.metadata ?? {};
      const claimRef = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name, namespace, uid, resourceVersion };
      // A reservation by a person outlives the claim; ours goes with it.
      const own = volume.spec?.claimRef ? {} : { [boundByController]: 'yes' };
      const wanted = { ...volume, ...annotated(volume, own), spec: { ...volume.spec, claimRef } };
      bound = await client.update<V1PersistentVolume>(resources.persistentVolumes, wanted);
    }
    bound = await this.#volumePhase(bound, 'Bound');
    let owner = claim;
    const done = claim.metadata?.annotations?.[bindCompleted] !== undefined;
    if (!done || claim.spec?.volumeName !== bound.metadata?.name) {
      const own = claim.spec?.volumeName ? {} : { [boundByController]: 'yes' };
      const spec = { ...claim.spec, volumeName: bound.metadata?.name };
      const wanted = { ...claim, ...annotated(claim, { [bindCompleted]: 'yes', ...own }), spec };
      owner = await client.update<V1PersistentVolumeClaim>(resources.persistentVolumeClaims, wanted);
    }
    await this.#claimPhase(owner, 'Bound', bound);
  }

  async #claimPhase(
    claim: V1PersistentVolumeClaim,
    phase: 'Pending' | 'Bound' | 'Lost',
    volume?: V1PersistentVolume,
  ): Promise<void> {
    const { accessModes, capacity, volumeAttributesClassName } = volume?.spec ?? {};
    const shown = volume
      ? { accessModes, capacity, currentVolumeAttributesClassName: volumeAttributesClassName }
      : { accessModes: undefined, capacity: undefined };
    const status = { ...claim.status, ...shown, phase };
    if (equalJson(claim.status, status)) return;
    const next = { ...claim, status };
    await this.#context.client.update(resources.persistentVolumeClaims, next, { subresource: 'status' });
  }

  async syncVolume(name: string): Promise<void> {
    const volume = this.#copies.volumes.get(name);
    if (volume === undefined) return;
    const reference = volume.spec?.claimRef;
    // Reserved by name only: waits for the claim, which binds it.
    if (!reference?.uid) {
      await this.#volumePhase(volume, 'Available');
      return;
    }
    const claim = this.#copies.claims.get(`${reference.namespace}/${reference.name}`);
    if (claim?.metadata?.uid === reference.uid) {
      // Given to a claim that has since taken another volume: free again if the controller gave it.
      const other = claim.spec?.volumeName !== undefined && claim.spec.volumeName !== name;
      if (!other) return this.syncClaim(keyOf(claim));
      if (volume.metadata?.annotations?.[boundByController] !== undefined) await this.#unbind(volume);
      return;
    }
    await this.#reclaim(volume);
  }

  async #unbind(volume: V1PersistentVolume): Promise<void> {
    const { [boundByController]: _ours, ...annotations } = volume.metadata?.annotations ?? {};
    const { claimRef: _claim, ...spec } = volume.spec ?? {};
    const wanted = { ...volume, metadata: { ...volume.metadata, annotations }, spec };
    const free = await this.#context.client.update<V1PersistentVolume>(resources.persistentVolumes, wanted);
    await this.#volumePhase(free, 'Available');
  }

  /** The claim is gone: the data stays until a person decides, whatever the policy says, as nothing here can delete it. */
  async #reclaim(volume: V1PersistentVolume): Promise<void> {
    if (volume.status?.phase === 'Failed') return;
    const released = await this.#volumePhase(volume, 'Released');
    const policy = volume.spec?.persistentVolumeReclaimPolicy ?? 'Retain';
    // Volumes that a provisioner made are deleted by it.
    if (policy === 'Retain' || volume.metadata?.annotations?.['pv.kubernetes.io/provisioned-by']) return;
    const what = policy === 'Delete' ? 'deletable' : 'recyclable';
    const message = `no ${what} volume plugin matched`;
    const reason = policy === 'Delete' ? 'VolumeFailedDelete' : 'VolumeFailedRecycle';
    this.#events.event(volume, 'Warning', reason, message);
    await this.#volumePhase(released, 'Failed', message);
  }

  async #volumePhase(volume: V1PersistentVolume, phase: string, message?: string): Promise<V1PersistentVolume> {
    if (volume.status?.phase === phase && volume.status.message === message) return volume;
    const { phase: _phase, message: _message, ...rest } = volume.status ?? {};
    const status = { ...rest, phase, ...(message === undefined ? {} : { message }) };
    const next = { ...volume, status };
    return this.#context.client.update(resources.persistentVolumes, next, { subresource: 'status' });
  }
}

/** The metadata of an object with annotations added. */
function annotated({ metadata }: KubeObject, more: Readonly<Record<string, string>>): Pick<KubeObject, 'metadata'> {
  return { metadata: { ...metadata, annotations: { ...metadata?.annotations, ...more } } };
}
