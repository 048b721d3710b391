// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package registry asks registries whether an image is there, through the mirrors of the machine config, in containerd's order.
//
// It must not download layers: nothing on this node could run them.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
)

// Reference is an image reference taken apart.
type Reference struct {
	Host, Repository string
	Version          string // tag or digest
}

// Parse fills in what Docker users leave out: docker.io, library/, latest.
func Parse(image string) Reference {
	r := Reference{Host: "docker.io", Version: "latest"}

	name, digest, hasDigest := strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, r.Version = name[:i], name[i+1:]
	}

	if hasDigest {
		r.Version = digest
	}

	if host, rest, ok := strings.Cut(name, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		r.Host, name = host, rest
	} else if !ok {
		name = "library/" + name
	}

	r.Repository = name

	return r
}

const perEndpoint = 3 * time.Second

var accept = []string{
	"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
}

// endpoints to try in order: the mirrors of the host, else those of `*`, then the host itself unless the config forbids it.
func endpoints(host string, mirrors map[string]config.RegistryMirrorConfig) []string {
	mirror, ok := mirrors[host]
	if !ok {
		mirror, ok = mirrors["*"]
	}

	var list []string

	if ok {
		for _, e := range mirror.Endpoints() {
			base := strings.TrimSuffix(e.Endpoint(), "/")
			if !e.OverridePath() {
				base += "/v2"
			}

			list = append(list, base)
		}
	}

	if !ok || !mirror.SkipFallback() {
		if host == "docker.io" {
			host = "registry-1.docker.io"
		}

		list = append(list, "https://"+host+"/v2")
	}

	return list
}

// Resolve returns the digest of an image, from the first endpoint that has it. The client has the proxy and the roots of the node.
func Resolve(ctx context.Context, client *http.Client, image string, mirrors map[string]config.RegistryMirrorConfig) (string, error) {
	ref := Parse(image)

	var all error

	for _, base := range endpoints(ref.Host, mirrors) {
		digest, err := head(ctx, client, base+"/"+ref.Repository+"/manifests/"+ref.Version)
		if err == nil {
			return digest, nil
		}

		all = errors.Join(all, err)
	}

	return "", fmt.Errorf("failed to resolve reference %q: %w", image, all)
}

func head(ctx context.Context, client *http.Client, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, perEndpoint)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return "", err
	}

	req.Header["Accept"] = accept

	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}

	resp.Body.Close() //nolint:errcheck

	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, resp.Status)
	}

	return resp.Header.Get("Docker-Content-Digest"), nil
}
