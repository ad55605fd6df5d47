export * from './authenticator.ts';
export * from './bootstrap-roles.ts';
export * from './contract.ts';
export * from './node-authorizer.ts';
export * from './rbac-authorizer.ts';
export * from './rbac-source.ts';
export * from './service-account-tokens.ts';
export * from './union-authorizer.ts';
