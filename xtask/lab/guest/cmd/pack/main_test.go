// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"lab.invalid/guest/internal/kmod/kmodtest"
)

// kernel makes a package with every module that is packed.
func kernel(t *testing.T) options {
	t.Helper()

	root := t.TempDir()
	modules := filepath.Join(root, "lib/modules/6.1")

	kmodtest.Write(t, modules, "kernel/virtio_pci.ko", "virtio")
	kmodtest.Write(t, modules, "kernel/virtio.ko", "")

	for _, name := range []string{"virtio_net", "virtio_blk", "button", "loop", "squashfs", "overlay", "dummy", "unused"} {
		kmodtest.Write(t, modules, "kernel/"+name+".ko", "")
	}

	if err := os.WriteFile(filepath.Join(modules, "modules.builtin"), []byte("kernel/fs/ext4.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}

	init := filepath.Join(root, "init")
	if err := os.WriteFile(init, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}

	return options{kernelRoot: root, kver: "6.1", init: init, out: filepath.Join(root, "out"), version: "v1.12.0"}
}

func unpacked(t *testing.T, file string) string {
	t.Helper()

	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()

	out, err := z.DecodeAll(raw, nil)
	if err != nil {
		t.Fatal(err)
	}

	return string(out)
}

func TestPack(t *testing.T) {
	o := kernel(t)
	if err := run(o); err != nil {
		t.Fatal(err)
	}

	first, _ := os.ReadFile(o.out)
	text := unpacked(t, o.out)

	for _, want := range []string{
		"virtio\nvirtio_pci\nvirtio_net\nvirtio_blk\n", "kernel/virtio_pci.ko: kernel/virtio.ko\n", "VERSION_ID=v1.12.0\n", "stand-in, not Talos",
		"usr/lib/modules/6.1/kernel/dummy.ko", "program",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the archive", want)
		}
	}

	if strings.Contains(text, "unused.ko") {
		t.Error("a module that nothing needs was packed")
	}

	if err := run(o); err != nil {
		t.Fatal(err)
	}

	if second, _ := os.ReadFile(o.out); !bytes.Equal(first, second) {
		t.Error("packing twice gives different bytes")
	}
}

func TestOverlays(t *testing.T) {
	o := kernel(t)
	overlay := t.TempDir()

	for path, content := range map[string]string{"extensions.yaml": "layers: []\n", "usr/lib/modules/6.1/extra/mine.ko": "mine"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(overlay, path)), 0o755); err != nil {
			t.Fatal(err)
		}

		if err := os.WriteFile(filepath.Join(overlay, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	if err := os.Symlink("extensions.yaml", filepath.Join(overlay, "link")); err != nil {
		t.Fatal(err)
	}

	o.overlays, o.onlyOverlay = list{overlay}, true
	if err := run(o); err != nil {
		t.Fatal(err)
	}

	text := unpacked(t, o.out)
	if !strings.Contains(text, "layers: []") || !strings.Contains(text, "extra/mine.ko") || strings.Contains(text, "program") {
		t.Error("an archive of overlays alone holds something else")
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	if err := run(options{out: "x"}); err == nil || !strings.Contains(err.Error(), "-kernel-root") {
		t.Errorf("no arguments: %v", err)
	}

	o := kernel(t)
	o.modules = list{"nosuch"}

	if err := run(o); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("a module that is not there: %v", err)
	}
}

func TestARealNodeHasTalosLayoutAndWhatItsKernelHasBuiltIn(t *testing.T) {
	o := kernel(t)
	modules := filepath.Join(o.kernelRoot, "lib/modules", o.kver)

	for _, name := range builtIntoTalos {
		if name != "xfs" {
			kmodtest.Write(t, modules, "kernel/"+name+".ko", "")
		}
	}

	if err := os.WriteFile(filepath.Join(modules, "modules.builtin"), []byte("kernel/fs/xfs/xfs.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}

	for _, file := range []*string{&o.talosInit, &o.container, &o.rootfs} {
		*file = filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(*file, []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	if err := run(o); err != nil {
		t.Fatal(err)
	}

	text := unpacked(t, o.out)
	for _, want := range []string{"talos-init\x00", "container\x00", "rootfs.sqsh\x00", "etc/lab/modules-at-boot\x00", "\nsquashfs\n", "kernel/vxlan.ko"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the archive", want)
		}
	}

	for _, not := range []string{"etc/os-release", "\nxfs\n"} {
		if strings.Contains(text, not) {
			t.Errorf("%q is in the archive", not)
		}
	}
}
