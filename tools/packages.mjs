// The layers of ARCHITECTURE.md: a package may import packages of a lower layer, and those of its
// own layer only where `sideways` names them. tools/check-layers.mjs enforces this list.
export const layers = {
  base: 0,
  api: 1,
  oci: 1,
  runtime: 1,
  store: 2,
  linux: 2,
  http: 2,
  images: 3,
  client: 3,
  network: 3,
  volumes: 3,
  logs: 3,
  engine: 4,
  apiserver: 4,
  scheduler: 4,
  controllers: 4,
  kubelet: 4,
  'kube-proxy': 4,
  dns: 4,
  bootstrap: 4,
  docker: 4,
  builder: 4,
  registry: 4,
  'engine-api': 5,
  wherry: 6,
  testkit: 7,
};

/** Imports between packages of one layer that are allowed, each with its reason. */
export const sideways = {
  oci: [], // an OCI image is known to the runtime contract only by its reference string
};
