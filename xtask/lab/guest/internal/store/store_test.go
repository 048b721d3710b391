// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package store_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"lab.invalid/guest/internal/store"
)

func disk(t *testing.T) string {
	t.Helper()

	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	if err := os.Truncate(path, 16<<20); err != nil {
		t.Fatal(err)
	}

	return path
}

func open(t *testing.T, path string) *store.Store {
	t.Helper()

	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}

	return s
}

func TestRecordOutlivesItsProcess(t *testing.T) {
	path := disk(t)

	for range 2 {
		if err := open(t, path).Update(func(r *store.Record) {
			r.Bootstrapped = true
			r.Upgrades = append(r.Upgrades, json.RawMessage(`{"image":"x"}`))
		}); err != nil {
			t.Fatal(err)
		}
	}

	if r := open(t, path).Get(); !r.Bootstrapped || len(r.Upgrades) != 2 {
		t.Errorf("%+v", r)
	}
}

func TestDamageStartsAfresh(t *testing.T) {
	path := disk(t)
	if err := open(t, path).Update(func(r *store.Record) { r.NodeID = "abc" }); err != nil {
		t.Fatal(err)
	}

	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck

	if _, err = f.WriteAt([]byte("zzz"), 1<<20+80); err != nil {
		t.Fatal(err)
	}

	if r := open(t, path).Get(); r.NodeID != "" {
		t.Errorf("a damaged record was believed: %+v", r)
	}
}

func TestForeignDiskIsLeftAlone(t *testing.T) {
	path := disk(t)

	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck

	if _, err = f.WriteAt([]byte{0x55, 0xaa}, 510); err != nil {
		t.Fatal(err)
	}

	if _, err = store.Open(path); err == nil {
		t.Error("a disk with a boot sector was taken")
	}

	if _, err = store.Open(path + "x"); err == nil {
		t.Error("a disk that is not there was opened")
	}
}

func TestMemoryOnly(t *testing.T) {
	s := &store.Store{}
	if err := s.Update(func(r *store.Record) { r.NodeID = "x" }); err != nil || s.Get().NodeID != "x" {
		t.Error(err)
	}
}
