// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const named = `ghcr.io/siderolabs/flannel:v0.28.4
registry.k8s.io/coredns/coredns:v1.14.2
registry.k8s.io/etcd:v3.6.9
registry.k8s.io/pause:3.10.1
registry.k8s.io/kube-apiserver:v1.36.0
registry.k8s.io/kube-controller-manager:v1.36.0
registry.k8s.io/kube-scheduler:v1.36.0
registry.k8s.io/kube-proxy:v1.36.0
ghcr.io/siderolabs/kubelet:v1.36.0
`

func TestWhatTalosctlNamesIsReadAndTheRestLeftOut(t *testing.T) {
	found, err := read(strings.NewReader(named))
	if err != nil || len(found) != len(images) {
		t.Fatalf("%v %v", err, found)
	}

	if found[5].String() != "siderolabs/kubelet:v1.36.0" {
		t.Error(found[5])
	}

	if _, err = read(strings.NewReader("registry.k8s.io/etcd:v3.6.9\n")); err == nil {
		t.Error("a list without a kubelet is taken")
	}
}

func TestTheSameInputMakesTheSameLayer(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "etcd"), []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}

	first, err := pack(images["etcd"], dir, dir)
	if err != nil {
		t.Fatal(err)
	}

	second, err := pack(images["etcd"], dir, dir)
	if err != nil || !bytes.Equal(first, second) {
		t.Fatal(err, "two layers differ")
	}

	headers := map[string]*tar.Header{}
	for archive := tar.NewReader(bytes.NewReader(first)); ; {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}

		if err != nil {
			t.Fatal(err)
		}

		headers[header.Name] = header
	}

	if h := headers["usr/local/bin/etcd"]; h == nil || h.Mode != 0o755 || h.Size != 7 {
		t.Errorf("%+v", h)
	}

	for _, name := range []string{"usr/", "usr/local/", "usr/local/bin/", "var/run", "etc/passwd"} {
		if headers[name] == nil {
			t.Error(name, "is missing")
		}
	}
}

func TestAnImageIsWhereARegistryLooksForIt(t *testing.T) {
	dir := t.TempDir()
	if err := registry(dir).put(reference{"a/b", "v1"}, []byte("layer"), "/b"); err != nil {
		t.Fatal(err)
	}

	at := func(parts ...string) []byte {
		t.Helper()

		data, err := os.ReadFile(filepath.Join(append([]string{dir, "docker/registry/v2"}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}

		return data
	}

	digest := strings.TrimPrefix(string(at("repositories/a/b/_manifests/tags/v1/current/link")), "sha256:")
	at("repositories/a/b/_manifests/revisions/sha256", digest, "link")

	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	if err := json.Unmarshal(at("blobs/sha256", digest[:2], digest, "data"), &manifest); err != nil {
		t.Fatal(err)
	}

	for _, d := range append(manifest.Layers, manifest.Config) {
		digest := strings.TrimPrefix(d.Digest, "sha256:")
		at("repositories/a/b/_layers/sha256", digest, "link")

		if data := at("blobs/sha256", digest[:2], digest, "data"); len(data) != d.Size {
			t.Error(d, len(data))
		}
	}
}
