// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
)

// registry is the storage folder of CNCF Distribution.
type registry string

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

// put writes an image of one layer.
func (r registry) put(to reference, layer []byte, entrypoint string) error {
	layerDigest, err := r.blob(to, layer)
	if err != nil {
		return err
	}

	config, err := json.Marshal(map[string]any{
		"architecture": "amd64",
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{entrypoint}, "Env": []string{"PATH=/usr/local/bin:/usr/bin"}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + layerDigest}},
	})
	if err != nil {
		return err
	}

	configDigest, err := r.blob(to, config)
	if err != nil {
		return err
	}

	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        descriptor{"application/vnd.oci.image.config.v1+json", "sha256:" + configDigest, len(config)},
		"layers":        []descriptor{{"application/vnd.oci.image.layer.v1.tar", "sha256:" + layerDigest, len(layer)}},
	})
	if err != nil {
		return err
	}

	digest, err := r.store(manifest)
	if err != nil {
		return err
	}

	manifests := filepath.Join(r.repository(to), "_manifests")
	for _, folder := range []string{
		filepath.Join(manifests, "revisions/sha256", digest),
		filepath.Join(manifests, "tags", to.tag, "current"),
		filepath.Join(manifests, "tags", to.tag, "index/sha256", digest),
	} {
		if err = link(folder, digest); err != nil {
			return err
		}
	}

	return nil
}

// blob stores a layer or config that belongs to a repository. The digest is without its algorithm.
func (r registry) blob(of reference, data []byte) (string, error) {
	digest, err := r.store(data)
	if err != nil {
		return "", err
	}

	return digest, link(filepath.Join(r.repository(of), "_layers/sha256", digest), digest)
}

func (r registry) store(data []byte) (string, error) {
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])

	folder := filepath.Join(string(r), "docker/registry/v2/blobs/sha256", digest[:2], digest)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}

	return digest, os.WriteFile(filepath.Join(folder, "data"), data, 0o644)
}

func (r registry) repository(of reference) string {
	return filepath.Join(string(r), "docker/registry/v2/repositories", of.name)
}

func link(folder, digest string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}

	return os.WriteFile(filepath.Join(folder, "link"), []byte("sha256:"+digest), 0o644)
}
