// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lab.invalid/guest/internal/kmod/kmodtest"
)

// exported writes an image as `crane export` does.
func exported(t *testing.T, headers ...tar.Header) string {
	t.Helper()

	f, err := os.Create(filepath.Join(t.TempDir(), "image.tar"))
	if err != nil {
		t.Fatal(err)
	}

	w := tar.NewWriter(f)

	for _, h := range headers {
		data := h.Uname // no test needs an owner's name

		h.Uname, h.Mode = "", 0o644
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(data))
		}

		if err = w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}

		if h.Typeflag == tar.TypeReg {
			w.Write([]byte(data)) //nolint:errcheck // closing reports it
		}
	}

	if err = w.Close(); err != nil {
		t.Fatal(err)
	}

	if err = f.Close(); err != nil {
		t.Fatal(err)
	}

	return f.Name()
}

func dir(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }

func file(name, data string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Uname: data}
}

const named = "version: v1alpha1\nmetadata:\n  name: mine\n  version: v1\n"

func TestExtensionsAreInstalledAsTheImagerDoes(t *testing.T) {
	o := kernel(t)
	o.extensions = list{exported(
		t, file("manifest.yaml", named), dir("rootfs"), dir("rootfs/usr/lib/modules"), dir("rootfs/usr/lib/modules/6.1"),
		file("rootfs/usr/lib/modules/6.1/extras/mine.ko", string(kmodtest.Module("virtio_pci,gone"))),
		tar.Header{Name: "rootfs/usr/lib/modules/6.1/extras/linked.ko", Typeflag: tar.TypeLink, Linkname: "rootfs/usr/lib/modules/6.1/extras/mine.ko"},
	)}

	if err := run(o); err != nil {
		t.Fatal(err)
	}

	text := unpacked(t, o.out)

	for _, want := range []string{
		"extras/mine.ko: kernel/virtio_pci.ko kernel/virtio.ko\n", "extras/linked.ko:\n", "image: 0.sqsh", "name: mine",
		"image: modules.dep.sqsh", "name: modules.dep",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the archive", want)
		}
	}
}

func TestWhatIsNotAnExtensionIsRefused(t *testing.T) {
	for want, headers := range map[string][]tar.Header{
		`unexpected file "bin"`:              {file("bin/sh", "")},
		"extension manifest is missing":      {dir("rootfs")},
		"extension rootfs is missing":        {file("manifest.yaml", named)},
		"6.1: no such file or directory":     {file("manifest.yaml", named), dir("rootfs"), dir("rootfs/usr/lib/modules")},
		`error creating file "manifest.yaml`: {file("manifest.yaml", named), file("manifest.yaml", named)},
	} {
		o := kernel(t)

		o.extensions = list{exported(t, headers...)}
		if err := run(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v is not %q", err, want)
		}
	}
}
