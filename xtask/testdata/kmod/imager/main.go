// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Command imager runs Talos' own code on extension images, step by step as its imager does, and prints a line of JSON for each:
// `imager VERSION INITRAMFS FOLDER`. FOLDER has an OCI layout in each of its folders, INITRAMFS the modules of a kernel.
//
// The test that compiles it writes go.mod, with the Talos release, and yaml.go, with the YAML library of that release. Its module is
// named below Talos' own, because the imager's packages are internal.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/crane"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/siderolabs/talos/internal/pkg/extensions"
	"github.com/siderolabs/talos/pkg/archiver"
	imager "github.com/siderolabs/talos/pkg/imager/extensions"
	machinery "github.com/siderolabs/talos/pkg/machinery/extensions"
	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
	"github.com/siderolabs/talos/pkg/machinery/imager/quirks"
)

// verdict is what Talos says about one image.
type verdict struct {
	Name string `json:"name"`
	// Imager is the error of the step at which an image of Talos would not be made.
	Imager string `json:"imager"`
	// Loaded tells whether it was unpacked and has an extension's layout.
	Loaded bool `json:"loaded"`
	// Contents is the error of the check that the imager leaves out and extensions-validator makes.
	Contents string `json:"contents"`
	// Services has the node's error for each service, by file.
	Services map[string]string `json:"services"`
	// Files has what the imager unpacked: type and permissions as ls shows them, and the size of regular files.
	Files map[string]string `json:"files"`
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: imager VERSION INITRAMFS FOLDER")
		os.Exit(2)
	}

	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "imager:", err)
		os.Exit(1)
	}
}

func run(version, initramfs, folder string) error {
	images, err := os.ReadDir(folder)
	if err != nil {
		return err
	}

	out := json.NewEncoder(os.Stdout)

	for _, image := range images {
		found, err := judge(version, initramfs, filepath.Join(folder, image.Name()))
		if err != nil {
			return err
		}

		found.Name = image.Name()

		if err = out.Encode(found); err != nil {
			return err
		}
	}

	return nil
}

func judge(version, initramfs, image string) (verdict, error) {
	found := verdict{Services: map[string]string{}, Files: map[string]string{}}

	work, err := os.MkdirTemp("", "imager")
	if err != nil {
		return found, err
	}

	defer os.RemoveAll(work) //nolint:errcheck

	tree := filepath.Join(work, "extensions")
	extension := filepath.Join(tree, "0")

	if err = os.MkdirAll(extension, 0o755); err != nil {
		return found, err
	}

	if err = unpack(image, extension); err != nil {
		found.Imager = err.Error()

		return found, nil
	}

	if err = list(extension, found.Files); err != nil {
		return found, err
	}

	loaded, err := extensions.List(tree)
	if err != nil {
		found.Imager = err.Error()

		return found, nil
	}

	found.Loaded = true

	if err = loaded[0].Validate(machinery.WithValidateContents()); err != nil {
		found.Contents = err.Error()
	}

	if err = checkServices(filepath.Join(extension, "rootfs/usr/local/etc/containers"), found.Services); err != nil {
		return found, err
	}

	// It is changed in place.
	copied := filepath.Join(work, "initramfs")

	contents, err := os.ReadFile(initramfs)
	if err != nil {
		return found, err
	}

	if err = os.WriteFile(copied, contents, 0o644); err != nil {
		return found, err
	}

	builder := &imager.Builder{
		InitramfsPath:     copied,
		Arch:              "amd64",
		ExtensionTreePath: tree,
		Printf:            func(string, ...any) {},
		Quirks:            quirks.New(version),
	}

	if err = build(builder); err != nil {
		found.Imager = err.Error()
	}

	return found, nil
}

// unpack is the imager's way from an image to a folder.
func unpack(from, to string) error {
	image, err := open(from)
	if err != nil {
		return err
	}

	r, w := io.Pipe()

	go func() { w.CloseWithError(crane.Export(image, w)) }() //nolint:errcheck

	err = untar(r, to)
	r.CloseWithError(err) //nolint:errcheck

	return err
}

// open takes the image for amd64 or the only one, as a pull of a plain manifest does.
func open(from string) (v1.Image, error) {
	path, err := layout.FromPath(from)
	if err != nil {
		return nil, err
	}

	index, err := path.ImageIndex()
	if err != nil {
		return nil, err
	}

	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}

	for _, entry := range manifest.Manifests {
		if len(manifest.Manifests) == 1 || entry.Platform != nil && entry.Platform.Architecture == "amd64" {
			return path.Image(entry.Digest)
		}
	}

	return nil, errors.New("no OCI image found for amd64")
}

// untar has another parameter since Talos 1.13.
func untar(r io.Reader, to string) error {
	ctx := context.Background()

	switch untar := any(archiver.Untar).(type) {
	case func(context.Context, io.Reader, string) error:
		return untar(ctx, r, to)
	case func(context.Context, io.Reader, string, map[string]string) error:
		return untar(ctx, r, to, nil)
	default:
		return fmt.Errorf("archiver.Untar is %T", untar)
	}
}

// build has another parameter since Talos 1.12.
func build(builder *imager.Builder) error {
	switch build := any(builder.Build).(type) {
	case func() error:
		return build()
	case func(context.Context) error:
		return build(context.Background())
	default:
		return fmt.Errorf("Builder.Build is %T", build)
	}
}

func list(root string, files map[string]string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}

		info, err := entry.Info()
		if err != nil {
			return err
		}

		words := info.Mode().String()
		if info.Mode().IsRegular() {
			words = fmt.Sprintf("%s %d", words, info.Size())
		}

		files[strings.TrimPrefix(path, root+"/")] = words

		return nil
	})
}

// checkServices decodes and validates service specs as a node does.
func checkServices(folder string, found map[string]string) error {
	specs, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	names := map[string]struct{}{}

	for _, entry := range specs {
		if filepath.Ext(entry.Name()) != ".yaml" {
			continue
		}

		spec, err := load(filepath.Join(folder, entry.Name()))
		if err == nil {
			err = spec.Validate()
		}

		if _, exists := names[spec.Name]; err == nil && exists {
			err = errors.New("duplicate service spec")
		}

		if err == nil {
			names[spec.Name] = struct{}{}
			found[entry.Name()] = ""
		} else {
			found[entry.Name()] = err.Error()
		}
	}

	return nil
}

func load(path string) (services.Spec, error) {
	var spec services.Spec

	file, err := os.Open(path)
	if err != nil {
		return spec, err
	}

	defer file.Close() //nolint:errcheck

	return spec, decode(file, &spec)
}
