// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"go.yaml.in/yaml/v4"

	"lab.invalid/guest/internal/cpio"
	"lab.invalid/guest/internal/kmod"
)

const (
	manifest = "manifest.yaml"
	rootfs   = "rootfs"
	modules  = "usr/lib/modules"
)

// addExtensions does with exported images of extensions what Talos' imager does, without its squashfs: their files go into the
// root, later ones over earlier ones, and the list of extensions beside them (pkg/imager/extensions). Contents are not checked:
// nor does the imager.
func (t tree) addExtensions(kver string, images []string) error {
	if len(images) == 0 {
		return nil
	}

	var (
		config      extensions.Config
		haveModules bool
	)

	for n, image := range images {
		files, err := untar(image)
		if err != nil {
			return fmt.Errorf("in `%s`: %w", image, err)
		}

		metadata, err := readManifest(files)
		if err != nil {
			return fmt.Errorf("in `%s`: %w", image, err)
		}

		config.Layers = append(config.Layers, &extensions.Layer{Image: fmt.Sprintf("%d.sqsh", n), Metadata: metadata})

		if _, ok := files[filepath.Join(rootfs, modules)]; ok {
			haveModules = true

			if _, ok = files[filepath.Join(rootfs, modulesFolder(kver))]; !ok {
				return fmt.Errorf("copying kernel modules from %s failed: %s: no such file or directory", image, kver)
			}
		}

		for path, e := range files {
			if rel, ok := strings.CutPrefix(path, rootfs+"/"); ok {
				t[rel] = e
			}
		}
	}

	if haveModules {
		t.file(filepath.Join(modulesFolder(kver), "modules.dep"), 0o644, t.dependencies(kver))

		config.Layers = append(config.Layers, &extensions.Layer{Image: "modules.dep.sqsh", Metadata: extensions.Metadata{
			Name: "modules.dep", Version: kver, Author: "Talos Machinery", Description: "Combined modules.dep for all extensions",
		}})
	}

	list, err := yaml.Marshal(config)
	if err != nil {
		return err
	}

	t.file(strings.TrimPrefix(constants.ExtensionsConfigFile, "/"), 0o644, list)

	return nil
}

// untar is that of Talos (pkg/archiver/untar.go): every entry that is neither a folder nor a symbolic link becomes a file of the
// bytes in the archive, so a hard link becomes an empty file.
func untar(image string) (tree, error) {
	f, err := os.Open(image)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck

	t := tree{}

	for archive := tar.NewReader(f); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}

		if err != nil {
			return nil, err
		}

		path := strings.TrimPrefix(filepath.Clean("/"+header.Name), "/")
		if path == "" {
			continue
		}

		perm := uint32(header.FileInfo().Mode().Perm())

		switch header.Typeflag {
		case tar.TypeDir:
			t[path] = entry{cpio.Dir | perm | 0o700, nil}
		case tar.TypeSymlink:
			t[path] = entry{cpio.Link | 0o777, []byte(header.Linkname)}
		default:
			if _, ok := t[path]; ok {
				return nil, fmt.Errorf("error creating file %q: file exists", path)
			}

			data, err := io.ReadAll(archive)
			if err != nil {
				return nil, err
			}

			t.file(path, perm, data)
		}
	}
}

// readManifest has the errors of Talos' loader (pkg/machinery/extensions/load.go).
func readManifest(files tree) (extensions.Metadata, error) {
	for path := range files {
		if top, _, _ := strings.Cut(path, "/"); top != manifest && top != rootfs {
			return extensions.Metadata{}, fmt.Errorf("unexpected file %q", top)
		}
	}

	file, ok := files[manifest]
	if !ok {
		return extensions.Metadata{}, errors.New("extension manifest is missing")
	}

	if _, ok = files[rootfs]; !ok {
		return extensions.Metadata{}, errors.New("extension rootfs is missing")
	}

	var m extensions.Manifest

	err := yaml.Unmarshal(file.data, &m)

	return m.Metadata, err
}

func modulesFolder(kver string) string { return filepath.Join(modules, kver) }

// dependencies is a modules.dep of all modules in the tree. As with depmod, a module that nothing has is left out: the kernel
// notices at the first symbol. A file that is not a module depends on nothing.
func (t tree) dependencies(kver string) []byte {
	folder := modulesFolder(kver) + "/"
	paths := map[string]string{}
	depends := map[string][]string{}

	for path, e := range t {
		rel, ok := strings.CutPrefix(path, folder)
		if !ok || !strings.HasSuffix(rel, ".ko") || e.mode&cpio.Regular != cpio.Regular {
			continue
		}

		name := kmod.Name(rel)
		// depmod's default order: what is built with the kernel comes last (`search updates extras built-in`).
		if former, ok := paths[name]; !ok || strings.HasPrefix(former, "kernel/") {
			paths[name] = rel
		}

		depends[rel], _ = kmod.DependsIn(bytes.NewReader(e.data)) //nolint:errcheck // see above
	}

	var visit func(name string, seen map[string]bool) []string

	visit = func(name string, seen map[string]bool) (all []string) {
		for _, dep := range depends[paths[name]] {
			if rel, ok := paths[dep]; ok && !seen[dep] {
				seen[dep] = true
				all = append(append(all, rel), visit(dep, seen)...)
			}
		}

		return all
	}

	rels := make([]string, 0, len(depends))
	for rel := range depends {
		rels = append(rels, rel)
	}

	slices.Sort(rels)

	var out bytes.Buffer

	for _, rel := range rels {
		fmt.Fprintf(&out, "%s:", rel)

		for _, dep := range visit(kmod.Name(rel), map[string]bool{kmod.Name(rel): true}) {
			fmt.Fprintf(&out, " %s", dep)
		}

		out.WriteByte('\n')
	}

	return out.Bytes()
}
