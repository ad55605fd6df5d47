export { NodeState } from './node-state.ts';
export { type Placement, plan } from './plan.ts';
export { createScheduler, type Scheduler, type SchedulerOptions } from './scheduler.ts';
