# An older CRD blocks provisioned reimages. The CRD does not know the field
# status.episode.provisioning (helm, for one, never upgrades a CRD). If the API server pruned the
# field silently, the next reconcile would not know of the reimage. The controller's write is
# refused instead, and the service is not called until the CRD is applied.
node oc1
policy {budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {captureSeconds: 4, reimageSeconds: 60}, reimage: {service: PROVISIONING}}
kubectl patch crd noderepairs.ossci.amd.com --type=json --patch=[{"op":"move","from":"/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/episode/properties/provisioning","path":"/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/episode/properties/later"}]
break oc1 gpu-missing until reimage
kubectl taint node oc1 repair-reimage=:NoSchedule
await oc1 phase Draining within 60s
quiet 10s
kubectl patch crd noderepairs.ossci.amd.com --type=json --patch=[{"op":"move","from":"/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/episode/properties/later","path":"/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/episode/properties/provisioning"}]
await oc1 phase Healed within 120s
quiet 4s
