// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestANewVolumeHasWhatTheImageHas(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "opt"), filepath.Join(dir, "volume")

	for path, mode := range map[string]os.FileMode{
		filepath.Join(from, "cni/bin/bridge"): 0o755,
		// As a node leaves it that was switched off in the middle.
		filepath.Join(to+".half", "old"): 0o644,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}

		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}

	if err := os.Symlink("bridge", filepath.Join(from, "cni/bin/link")); err != nil {
		t.Fatal(err)
	}

	if err := fill(to, from); err != nil {
		t.Fatal(err)
	}

	if info, err := os.Stat(filepath.Join(to, "cni/bin/bridge")); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}

	if target, err := os.Readlink(filepath.Join(to, "cni/bin/link")); err != nil || target != "bridge" {
		t.Errorf("%q, %v", target, err)
	}

	for _, gone := range []string{filepath.Join(to, "old"), to + ".half"} {
		if _, err := os.Lstat(gone); !os.IsNotExist(err) {
			t.Errorf("%s: %v", gone, err)
		}
	}
}

func TestAVolumeWithoutAFolderInTheImageIsEmpty(t *testing.T) {
	to := filepath.Join(t.TempDir(), "volume")
	if err := fill(to, "/nonexistent"); err != nil {
		t.Fatal(err)
	}

	if entries, err := os.ReadDir(to); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}
