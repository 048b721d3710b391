#!/bin/sh
# Names and ports of the pull-through proxies, in the words that Talos' script of this name uses: `cargo xtask proxies` reads them here.
# In the lab nothing of the internet can be reached: .cargo/xtask.toml names a registry of the lab's own in place of each of these.
set -e

docker run -d -p 5000:5000 -e REGISTRY_PROXY_REMOTEURL=https://registry-1.docker.io --restart always --name registry-docker.io registry:2
docker run -d -p 5001:5000 -e REGISTRY_PROXY_REMOTEURL=https://registry.k8s.io --restart always --name registry-registry.k8s.io registry:2
docker run -d -p 5003:5000 -e REGISTRY_PROXY_REMOTEURL=https://gcr.io --restart always --name registry-gcr.io registry:2
docker run -d -p 5004:5000 -e REGISTRY_PROXY_REMOTEURL=https://ghcr.io --restart always --name registry-ghcr.io registry:2
docker run -d -p 5006:5000 -e REGISTRY_PROXY_REMOTEURL=https://factory.talos.dev --restart always --name registry-factory.talos.dev registry:2
