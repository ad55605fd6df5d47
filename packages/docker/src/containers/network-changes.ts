import { WherryError } from '@wherry/base';
import type { NetworkRecord } from '@wherry/network';
import { BodyReader } from '../config/body-reader.ts';
import { decodeEndpoint } from '../config/decode.ts';
import type { Connections } from '../lifecycle/connections.ts';
import type { Container } from './container.ts';
import type { JsonObject } from './containers.ts';
import { type DockerContext, save } from './context.ts';
import { checkEndpoint } from './create-networks.ts';

/** `docker network connect` and `disconnect`, of containers that run or not. */
export class NetworkChanges {
  readonly #context: DockerContext;
  readonly #connections: Connections;

  constructor(context: DockerContext, connections: Connections) {
    this.#context = context;
    this.#connections = connections;
  }

  async connect(reference: string, container: Container, body: JsonObject): Promise<void> {
    const network = this.#find(reference);
    const settings = decodeEndpoint(new BodyReader(body, 'EndpointSettings'));
    checkEndpoint(network.name, settings, network);
    await container.lock.run(async () => {
      const { host, endpoints } = container.record;
      if (container.phase === 'removing' || container.phase === 'dead')
        throw new WherryError('forbidden', `container ${container.id} is marked for removal and cannot be connected`);
      if (host.NetworkMode.startsWith('container:') || (host.NetworkMode === 'host' && network.driver !== 'host'))
        throw new WherryError(
          'forbidden',
          'container sharing network namespace with another container or host cannot be connected to any other network',
        );
      if (network.driver === 'host')
        throw new WherryError(
          'forbidden',
          'container cannot be disconnected from host network or connected to host network',
        );
      const isNone = (name: string): boolean => name === 'none';
      if (Object.keys(endpoints).some((name) => name !== network.name && (isNone(name) || isNone(network.name))))
        throw new WherryError(
          'forbidden',
          'container cannot be connected to multiple networks with one of the networks in private (none) mode',
        );
      if (Object.hasOwn(endpoints, network.name) && (container.alive || endpoints[network.name] === undefined))
        throw new WherryError(
          'forbidden',
          `endpoint with name ${container.name} already exists in network ${network.name}`,
        );
      if (container.alive) {
        const netns = await this.#netns(container);
        await this.#connections.connect(container, network, settings, netns);
        await this.#publish(container, network, netns);
      }
      container.change({ endpoints: { ...endpoints, [network.name]: settings } });
      if (container.alive) {
        await this.#connections.serveNames(container, await this.#netns(container));
        await this.#connections.writeFiles(container);
      }
      await save(this.#context, container, true);
    });
  }

  /** Ports of a container that was in no network that leads out are published by the first that does. */
  async #publish(container: Container, network: NetworkRecord, netns: string | undefined): Promise<void> {
    if (this.#context.networks.published(container.id).length > 0) return;
    try {
      await this.#connections.publish(container);
    } catch (error) {
      await this.#connections.disconnect(container, network, netns);
      throw error;
    }
  }

  async disconnect(reference: string, container: Container, { force }: { readonly force: boolean }): Promise<void> {
    if (force && this.#context.networks.find(reference) === undefined)
      throw notConnected(container, `the network ${reference}`);
    const network = this.#find(reference);
    await container.lock.run(async () => {
      const { endpoints } = container.record;
      if (network.driver === 'host' && Object.hasOwn(endpoints, network.name))
        throw new WherryError(
          'forbidden',
          'container cannot be disconnected from host network or connected to host network',
        );
      if (!Object.hasOwn(endpoints, network.name))
        throw notConnected(container, `${container.alive ? '' : 'the '}network ${network.name}`);
      if (container.alive) {
        await this.#connections.disconnect(container, network, await this.#netns(container));
        await this.#connections.writeFiles(container);
      }
      const { [network.name]: _left, ...others } = endpoints;
      container.change({ endpoints: others });
      await save(this.#context, container, true);
      // A second time of one that runs, as dockerd does.
      this.#connections.tellDisconnected(container, network);
    });
  }

  /** Of a container that is no more, or not docker's. */
  async drop(reference: string, endpoint: string): Promise<void> {
    const network = this.#find(reference);
    const left = this.#context.networks
      .endpointsOf(network.id)
      .find(({ containerId, containerName }) => containerId === endpoint || containerName === endpoint);
    if (left === undefined) throw new WherryError('notFound', `endpoint ${endpoint} not found`);
    await this.#context.networks.disconnect(network.id, left.containerId);
  }

  #find(reference: string): NetworkRecord {
    const network = this.#context.networks.find(reference);
    if (network === undefined) throw new WherryError('notFound', `network ${reference} not found`);
    return network;
  }

  async #netns({ id }: Container): Promise<string | undefined> {
    return (await this.#context.engine.podSandboxStatus(id)).networkNamespace;
  }
}

function notConnected({ id }: Container, network: string): WherryError {
  return new WherryError('internal', `container ${id} is not connected to ${network}`);
}
