import { realRunc, repository } from '@wherry/testkit';
import { useRuntime } from './machine.ts';

// The engine's own tests, all of them on runc: whatever follows the runtime specification does.
useRuntime({ name: 'runc', path: realRunc(repository), args: [] });
await import('./engine.machine.test.ts');
await import('./restartable.machine.test.ts');
await import('./users.machine.test.ts');
