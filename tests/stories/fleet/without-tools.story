# A new image of the exporter lacks its tools. Its checks end without asking a GPU, so its first pod is
# never ready, and the roll-out stops there: the other nodes keep the exporter that they have. No node
# is accused. Available after 3 s instead of two minutes, or the story would only wait.
node roll1 roll2 roll3 roll4
kubectl -n ossci patch daemonset ossci-exporter -p {"spec":{"minReadySeconds":3}}
kubectl -n ossci wait daemonset ossci-exporter --for=jsonpath={.status.numberAvailable}=4 --timeout=60s
kubectl -n ossci set image daemonset/ossci-exporter exporter=ossci-exporter:without-tools
kubectl -n ossci wait daemonset ossci-exporter --for=jsonpath={.status.updatedNumberScheduled}=1 --timeout=60s
quiet 30s
kubectl -n ossci wait daemonset ossci-exporter --for=jsonpath={.status.updatedNumberScheduled}=1 --timeout=1s
kubectl -n ossci wait daemonset ossci-exporter --for=jsonpath={.status.numberUnavailable}=1 --timeout=1s
kubectl -n ossci rollout undo daemonset/ossci-exporter
kubectl -n ossci rollout status daemonset/ossci-exporter --timeout=60s
kubectl -n ossci wait daemonset ossci-exporter --for=jsonpath={.status.numberAvailable}=4 --timeout=60s
quiet 5s
