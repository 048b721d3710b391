// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package kmod_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lab.invalid/guest/internal/kmod"
	"lab.invalid/guest/internal/kmod/kmodtest"
)

func TestOrderPutsDependenciesFirst(t *testing.T) {
	dir := t.TempDir()
	kmodtest.Write(t, dir, "kernel/drivers/virtio-net.ko", "net-failover,virtio")
	kmodtest.Write(t, dir, "kernel/net_failover.ko", "failover")
	kmodtest.Write(t, dir, "kernel/failover.ko", "")
	kmodtest.Write(t, dir, "virtio.ko", "")

	index, err := kmod.Scan(filepath.Join(dir, "absent"), dir)
	if err != nil {
		t.Fatal(err)
	}

	order, err := index.Order("virtio_net", "failover")
	if err != nil {
		t.Fatal(err)
	}

	if want := []string{"failover", "net_failover", "virtio", "virtio_net"}; !slices.Equal(order, want) {
		t.Fatalf("got %v, want %v", order, want)
	}
}

func TestMissingModulesAreNamed(t *testing.T) {
	dir := t.TempDir()
	kmodtest.Write(t, dir, "a.ko", "gone")

	index, err := kmod.Scan(dir)
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{"a", "nothing"} {
		if err = index.Load(name); !errors.Is(err, kmod.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDependsRefusesOtherFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.ko")
	for _, content := range []string{"", "not ELF at all", string(kmodtest.Module("")[:40])} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}

		if _, err := kmod.Depends(file); err == nil {
			t.Errorf("%q was read as a module", content)
		}
	}
}

func TestALaterFolderWins(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	kmodtest.Write(t, first, "m.ko", "")
	kmodtest.Write(t, second, "extra/m.ko", "")

	index, err := kmod.Scan(first, second)
	if err != nil {
		t.Fatal(err)
	}

	if want := filepath.Join(second, "extra/m.ko"); index["m"] != want {
		t.Fatalf("got %s, want %s", index["m"], want)
	}
}
