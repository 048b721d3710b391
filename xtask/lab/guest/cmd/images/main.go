// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Command images puts the images that a real node pulls into the folder of a registry, from programs that were built for them and
// programs of Debian. It runs on the building machine.
//
//	talosctl image default | images -programs DIR -debian DIR -out FOLDER
//
// Standard input names what Talos wants, one reference a line; those that the lab's clusters do without are left out. FOLDER is a
// registry's rootdirectory. Layers are not compressed: an emulated node spends longer on unpacking than on fetching.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"lab.invalid/guest/internal/elflibs"
)

// image is what an image is made of.
type image struct {
	program string // of -programs
	at      string // its path, and the entrypoint
	debian  []string
	links   map[string]string
}

// images by the last part of their names.
var images = map[string]image{
	"etcd":                    {program: "etcd", at: "/usr/local/bin/etcd"},
	"kube-apiserver":          {program: "kube-apiserver", at: "/usr/local/bin/kube-apiserver"},
	"kube-controller-manager": {program: "kube-controller-manager", at: "/usr/local/bin/kube-controller-manager"},
	"kube-scheduler":          {program: "kube-scheduler", at: "/usr/local/bin/kube-scheduler"},
	"pause":                   {program: "pause", at: "/pause"},
	"kubelet": {
		program: "kubelet",
		at:      "/usr/local/bin/kubelet",
		debian: []string{
			"usr/bin/mount", "usr/bin/umount", "usr/bin/nsenter", "usr/sbin/blkid", "usr/sbin/losetup", "usr/sbin/e2fsck",
			"usr/sbin/mke2fs", "usr/sbin/fsck", "usr/sbin/xtables-nft-multi", "usr/lib/x86_64-linux-gnu/xtables",
		},
		links: map[string]string{
			"/usr/bin/mkfs.ext4": "mke2fs", "/usr/bin/iptables": "xtables-nft-multi", "/usr/bin/ip6tables": "xtables-nft-multi",
			"/usr/bin/iptables-save": "xtables-nft-multi", "/usr/bin/ip6tables-save": "xtables-nft-multi",
			"/usr/bin/iptables-restore": "xtables-nft-multi", "/usr/bin/ip6tables-restore": "xtables-nft-multi",
		},
	},
}

func main() {
	programs := flag.String("programs", "", "folder with etcd, kubelet and the others")
	debian := flag.String("debian", "", "folder of unpacked Debian packages")
	out := flag.String("out", "", "folder of the registry to write")
	flag.Parse()

	if err := run(os.Stdin, *programs, *debian, *out); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(references io.Reader, programs, debian, out string) error {
	if programs == "" || debian == "" || out == "" {
		return errors.New("-programs, -debian and -out are needed; see -help")
	}

	wanted, err := read(references)
	if err != nil {
		return err
	}

	for _, one := range wanted {
		layer, err := pack(images[path.Base(one.name)], programs, debian)
		if err != nil {
			return fmt.Errorf("%s: %w", one, err)
		}

		if err = registry(out).put(one, layer, images[path.Base(one.name)].at); err != nil {
			return fmt.Errorf("%s: %w", one, err)
		}

		fmt.Println(one)
	}

	return nil
}

// reference is an image without the registry that it is pulled from.
type reference struct{ name, tag string }

func (r reference) String() string { return r.name + ":" + r.tag }

// read returns the references to images that are known; all of these must be named.
func read(from io.Reader) ([]reference, error) {
	var (
		found []reference
		names []string
	)

	for scanner := bufio.NewScanner(from); scanner.Scan(); {
		whole := strings.TrimSpace(scanner.Text())

		_, rest, ok := strings.Cut(whole, "/")
		name, tag, tagged := strings.Cut(rest, ":")

		if _, known := images[path.Base(name)]; ok && tagged && known {
			found = append(found, reference{name, tag})
			names = append(names, path.Base(name))
		}
	}

	for name := range images {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("talosctl names no image of %s", name)
		}
	}

	return found, nil
}

// pack makes the layer of an image.
func pack(made image, programs, debian string) ([]byte, error) {
	t := newTree()

	if err := t.file(made.at, filepath.Join(programs, made.program)); err != nil {
		return nil, err
	}

	libraries := elflibs.In(debian)

	for _, file := range made.debian {
		if err := addDebian(t, libraries, filepath.Join(debian, file)); err != nil {
			return nil, err
		}
	}

	for name, from := range libraries.Found {
		if err := t.file("/usr/lib/"+name, from); err != nil {
			return nil, err
		}
	}

	for link, target := range made.links {
		t.link(link, target)
	}

	return t.tar()
}

// addDebian adds a program, or a folder of plugins at the path at which programs look for them.
func addDebian(t *tree, libraries *elflibs.Libraries, file string) error {
	entries, err := os.ReadDir(file)
	if err != nil {
		if err = libraries.AddNeeded(file); err != nil {
			return err
		}

		return t.file("/usr/bin/"+filepath.Base(file), file)
	}

	for _, entry := range entries {
		plugin := filepath.Join(file, entry.Name())
		if err = libraries.AddNeeded(plugin); err != nil {
			return err
		}

		if err = t.file("/usr/lib/x86_64-linux-gnu/"+filepath.Base(file)+"/"+entry.Name(), plugin); err != nil {
			return err
		}
	}

	return nil
}
