// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Command rootfs lays out the root file system of a real Talos node, as Talos' own Dockerfile does, from machined, files of the
// Talos sources, and programs of Debian in place of those that Talos builds from source. It runs on the building machine.
//
//	rootfs -talos DIR -programs DIR -debian DIR -modules DIR -out DIR
//
// OUT/root is the tree, for mksquashfs with -all-root; OUT/labels gives each file the SELinux label of Talos' file_contexts, as
// pseudo-file definitions, because setting them on real files takes a privilege.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lab.invalid/guest/internal/elflibs"
)

// Programs of Talos' root: name in /usr/bin, and where Debian has it.
var programs = map[string]string{
	"dmsetup":       "usr/sbin/dmsetup",
	"e2fsck":        "usr/sbin/e2fsck",
	"fsck.vfat":     "usr/sbin/fsck.fat",
	"lvm":           "usr/sbin/lvm",
	"mke2fs":        "usr/sbin/mke2fs",
	"mkfs.ext4":     "usr/sbin/mke2fs",
	"mkfs.vfat":     "usr/sbin/mkfs.fat",
	"mkfs.xfs":      "usr/sbin/mkfs.xfs",
	"modprobe":      "usr/bin/kmod",
	"resize2fs":     "usr/sbin/resize2fs",
	"runc":          "usr/sbin/runc",
	"systemd-udevd": "usr/bin/udevadm",
	"udevadm":       "usr/bin/udevadm",
	"xfs_growfs":    "usr/sbin/xfs_growfs",
	"xfs_repair":    "usr/sbin/xfs_repair",
}

// Loaded by name at run time, so no header of a program names them.
var loadedLibraries = []string{"libkmod.so.2", "libselinux.so.1"}

// Plugins that a node's container runtime calls for pods.
var cniPlugins = []string{"bridge", "firewall", "host-local", "loopback", "portmap"}

// Pods of one node reach each other, those of others do not: the lab has no network plugin's image.
//
//go:embed lab.conflist
var podNetwork []byte

// Files of the Talos sources, by their place in the root.
var talosFiles = map[string]string{
	"etc/os-release":                          "os-release",
	"usr/share/zoneinfo/Etc/UTC":              "hack/zoneinfo/Etc/UTC",
	"etc/nfsmount.conf":                       "hack/nfsmount.conf",
	"etc/containerd/config.toml":              "hack/containerd.toml",
	"etc/cri/containerd.toml":                 "hack/cri-containerd.toml",
	"etc/cri/conf.d/00-base.part":             "hack/cri-plugin.part",
	"etc/lvm/lvm.conf":                        "hack/lvm.conf",
	"usr/lib/systemd/network/99-default.link": "hack/udevd/99-default.link",
}

var folders = []string{
	"boot/EFI", "dev", "etc/cni/net.d", "etc/cri/conf.d/hosts", "etc/iscsi", "etc/kubernetes/manifests", "etc/nvme",
	"etc/selinux/targeted/contexts/files", "etc/ssl/certs", ".extra", "mnt", "opt/cni/bin", "opt/containerd/bin",
	"opt/containerd/lib", "proc", "root", "run/lock", "sys", "system", "tmp", "usr/bin", "usr/etc", "usr/include",
	"usr/lib/firmware", "usr/lib/modules", "usr/libexec/kubernetes", "usr/local/lib/kubelet/credentialproviders", "usr/local/share",
	"usr/share/spdx", "usr/src", "usr/var", "var/log", "var/mail", "var/spool", "var/tmp",
}

// Files that machined mounts something over.
var emptyFiles = []string{
	"etc/extensions.yaml", "etc/resolv.conf", "etc/hosts", "etc/machine-id", "etc/cri/conf.d/cri.toml",
	"etc/cri/conf.d/01-registries.part", "etc/cri/conf.d/20-customization.part", "etc/cri/conf.d/base-spec.json",
	"etc/iscsi/initiatorname.iscsi", "etc/nvme/hostid", "etc/nvme/hostnqn", "etc/selinux/targeted/contexts/files/file_contexts",
	"etc/ssl/certs/ca-certificates.crt",
}

var links = map[string]string{
	"lib64":                           "usr/lib",
	"lib":                             "usr/lib",
	"bin":                             "usr/bin",
	"sbin":                            "usr/bin",
	"usr/lib64":                       "lib",
	"usr/sbin":                        "bin",
	"var/run":                         "../run",
	"var/lock":                        "../run/lock",
	"etc/localtime":                   "/usr/share/zoneinfo/Etc/UTC",
	"etc/ssl/certs/ca-certificates":   "ca-certificates.crt",
	"etc/pki":                         "/etc/ssl",
	"usr/share/ca-certificates":       "/etc/ssl",
	"usr/local/share/ca-certificates": "/etc/ssl",
	"etc/ca-certificates":             "/etc/ssl",
	// Talos makes /usr/lib/udev writable, and udevd writes its hardware database here.
	"usr/etc/udev": "../lib/udev",
}

type options struct{ talos, programs, debian, modules, out string }

func main() {
	var o options

	flag.StringVar(&o.talos, "talos", "", "Talos' sources")
	flag.StringVar(&o.programs, "programs", "", "folder with machined, containerd and its shim")
	flag.StringVar(&o.debian, "debian", "", "folder of unpacked Debian packages")
	flag.StringVar(&o.modules, "modules", "", "lib/modules/VERSION of an unpacked kernel package")
	flag.StringVar(&o.out, "out", "", "folder to write to")
	flag.Parse()

	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "rootfs:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	for _, option := range []string{o.talos, o.programs, o.debian, o.modules, o.out} {
		if option == "" {
			return errors.New("all options are needed; see -help")
		}
	}

	r := root(filepath.Join(o.out, "root"))

	for _, lay := range []func(root, options) error{
		layFolders, layTalos, layPrograms, layUdev, layModules,
	} {
		if err := lay(r, o); err != nil {
			return err
		}
	}

	contexts, err := readContexts(filepath.Join(o.talos, "internal/pkg/selinux/policy/file_contexts"))
	if err != nil {
		return err
	}

	labels, err := contexts.pseudoFiles(string(r))
	if err != nil {
		return err
	}

	return os.WriteFile(filepath.Join(o.out, "labels"), []byte(labels), 0o644)
}

func layFolders(r root, _ options) error {
	for _, folder := range folders {
		if err := os.MkdirAll(r.at(folder), 0o755); err != nil {
			return err
		}
	}

	for folder, mode := range map[string]fs.FileMode{"root": 0o750, "tmp": 0o777 | fs.ModeSticky, "var/tmp": 0o777 | fs.ModeSticky} {
		if err := os.Chmod(r.at(folder), mode); err != nil {
			return err
		}
	}

	for path, target := range links {
		if err := os.Symlink(target, r.at(path)); err != nil {
			return err
		}
	}

	for _, path := range emptyFiles {
		if err := os.WriteFile(r.at(path), nil, 0o644); err != nil {
			return err
		}
	}

	return nil
}

func layTalos(r root, o options) error {
	for to, from := range talosFiles {
		if err := r.copy(filepath.Join(o.talos, from), to, 0o644); err != nil {
			return err
		}
	}

	if err := r.copy(filepath.Join(o.programs, "machined"), "usr/bin/init", 0o755); err != nil {
		return err
	}

	// machined looks at its own name. The kernel calls the first one, extensions the second.
	for _, name := range []string{"poweroff", "shutdown", "dashboard"} {
		if err := os.Link(r.at("usr/bin/init"), r.at("usr/bin/"+name)); err != nil {
			return err
		}
	}

	return nil
}

func layPrograms(r root, o options) error {
	libraries := elflibs.In(o.debian)

	for _, name := range []string{"containerd", "containerd-shim-runc-v2"} {
		if err := r.copy(filepath.Join(o.programs, name), "usr/bin/"+name, 0o755); err != nil {
			return err
		}
	}

	for name, from := range programs {
		from = filepath.Join(o.debian, from)
		if err := libraries.AddNeeded(from); err != nil {
			return err
		}

		if err := r.copy(from, "usr/bin/"+name, 0o755); err != nil {
			return err
		}
	}

	for _, plugin := range cniPlugins {
		from := filepath.Join(o.debian, "usr/lib/cni", plugin)
		if err := libraries.AddNeeded(from); err != nil {
			return err
		}

		if err := r.copy(from, "opt/cni/bin/"+plugin, 0o755); err != nil {
			return err
		}
	}

	if err := os.WriteFile(r.at("etc/cni/net.d/10-lab.conflist"), podNetwork, 0o644); err != nil {
		return err
	}

	for _, name := range loadedLibraries {
		if err := libraries.Add(name); err != nil {
			return err
		}
	}

	for name, from := range libraries.Found {
		if err := r.copy(from, "usr/lib/"+name, 0o755); err != nil {
			return err
		}
	}

	return r.copyTree(filepath.Join(o.debian, "usr/share/xfsprogs"), "usr/share/xfsprogs")
}

// layUdev takes Debian's rules and helpers, and Talos' own rules. The hardware database stays behind: machined has udevd compile it at each boot, which
// takes 20 s of an emulated node, and nothing in a virtual machine is in it.
func layUdev(r root, o options) error {
	from := filepath.Join(o.debian, "usr/lib/udev")

	libraries := elflibs.In(o.debian)

	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "hwdb.d" {
			return filepath.SkipDir
		}

		if err != nil || entry.IsDir() {
			return err
		}

		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}

		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a link to a file of a package that is not there
		}

		if err != nil {
			return err
		}

		if elflibs.IsELF(path) {
			if err = libraries.AddNeeded(path); err != nil {
				return err
			}
		}

		return r.copy(path, filepath.Join("usr/lib/udev", rel), info.Mode().Perm())
	})
	if err != nil {
		return err
	}

	for name, from := range libraries.Found {
		if err = r.copy(from, "usr/lib/"+name, 0o755); err != nil {
			return err
		}
	}

	// Versions have different ones.
	own, err := filepath.Glob(filepath.Join(o.talos, "hack/udevd/*.rules"))
	if err != nil {
		return err
	}

	for _, from := range own {
		if err = r.copy(from, filepath.Join("usr/lib/udev/rules.d", filepath.Base(from)), 0o644); err != nil {
			return err
		}
	}

	return nil
}

func layModules(r root, o options) error {
	return r.copyTree(o.modules, filepath.Join("usr/lib/modules", filepath.Base(o.modules)))
}

type root string

func (r root) at(path string) string { return filepath.Join(string(r), path) }

// copy copies what from leads to; later copies win.
func (r root) copy(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck

	to = r.at(to)
	if err = os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}

	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}

	_, err = io.Copy(out, in)

	return errors.Join(err, out.Close())
}

func (r root) copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}

		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}

		return r.copy(path, filepath.Join(to, rel), 0o644)
	})
}

// paths lists everything in the tree, "/" for its root, in order.
func (r root) paths() ([]string, error) {
	var paths []string

	err := filepath.WalkDir(string(r), func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, "/"+strings.TrimPrefix(strings.TrimPrefix(path, string(r)), "/"))

		return err
	})

	slices.Sort(paths)

	return paths, err
}
