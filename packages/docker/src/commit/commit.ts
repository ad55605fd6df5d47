import { WherryError } from '@wherry/base';
import type { Container } from '../containers/container.ts';
import type { CommitRequest } from '../containers/containers.ts';
import type { DockerContext } from '../containers/context.ts';

export async function commitContainer(
  _context: DockerContext,
  _container: Container,
  _request: CommitRequest,
): Promise<{ readonly Id: string }> {
  throw new WherryError('unsupported', 'commit is not there yet');
}
