// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Command pack makes the lab's initramfs: the stand-in's /init, the kernel modules that it needs to reach its network and its
// disk, and a few files that say what this is. It runs on the building machine.
//
//	pack -kernel-root DIR -kver VERSION -init FILE -o OUT [-version TAG] [-module NAME]… [-extension TAR]… [-overlay DIR]…
//	pack -talos-init FILE -container FILE -rootfs FILE …        a real node: FILE of -init hands over to one of these, which mounts the root
//	pack -only-overlay -o OUT -overlay DIR…     just the folders: an archive to put behind another one
//
// DIR is an unpacked Debian kernel package (it has lib/modules/VERSION). TAR is the image of a system extension as `crane export`
// writes it. An overlay's files go into the root as they are; a later one wins. The archive is cpio "newc", zstd level 3, and depends on nothing but the input: same input, same bytes.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"lab.invalid/guest/internal/cpio"
	"lab.invalid/guest/internal/kmod"
)

// What init loads at boot, and what is there for machine.kernel.modules to ask for.
var (
	atBoot = []string{"virtio_pci", "virtio_net", "virtio_blk", "button"}
	onCall = []string{"loop", "squashfs", "overlay", "dummy"}
)

// What Talos' kernel has built in, and Debian's as modules.
var builtIntoTalos = []string{
	"virtio_pci", "virtio_blk", "virtio_net", "virtio_scsi", "virtio_rng", "virtio_balloon", "sd_mod", "loop", "squashfs", "overlay",
	"xfs", "vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8", "isofs", "efivarfs", "configfs", "autofs4", "dm_mod", "tun",
	"button", "i6300esb", "bridge", "br_netfilter", "veth", "vxlan", "dummy",
	"nf_tables", "nft_chain_nat", "nft_compat", "nft_ct", "nft_fib_inet", "nft_limit", "nft_log", "nft_masq", "nft_nat", "nft_numgen",
	"nft_redir", "nft_reject_inet", "nf_conntrack", "ip_set", "ip_tables", "iptable_filter", "iptable_mangle", "iptable_nat",
	"ip6_tables", "ip6table_filter", "ip6table_mangle", "ip6table_nat", "xt_addrtype", "xt_comment", "xt_conntrack", "xt_limit",
	"xt_mark", "xt_MASQUERADE", "xt_multiport", "xt_nat", "xt_REDIRECT", "xt_statistic", "xt_tcpudp",
}

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

type options struct {
	kernelRoot, kver, init, out, version string
	talosInit, container, rootfs         string
	modules, extensions, overlays        list
	onlyOverlay                          bool
}

func main() {
	var o options

	flag.StringVar(&o.kernelRoot, "kernel-root", "", "folder of an unpacked kernel package")
	flag.StringVar(&o.kver, "kver", "", "kernel version: the folder name in lib/modules")
	flag.StringVar(&o.init, "init", "", "the static init program")
	flag.StringVar(&o.out, "o", "", "file to write")
	flag.StringVar(&o.version, "version", "v1.12.0", "the Talos version to stand in for until a machine config names one")
	flag.StringVar(&o.talosInit, "talos-init", "", "Talos' own init, for a real node")
	flag.StringVar(&o.container, "container", "", "what starts Talos in container mode, for a real node")
	flag.StringVar(&o.rootfs, "rootfs", "", "Talos' root file system, for a real node")
	flag.Var(&o.modules, "module", "another kernel module to carry along (repeatable)")
	flag.Var(&o.extensions, "extension", "exported image of a system extension, for the stand-in (repeatable)")
	flag.Var(&o.overlays, "overlay", "folder whose content goes into the root (repeatable)")
	flag.BoolVar(&o.onlyOverlay, "only-overlay", false, "write the overlays alone")
	flag.Parse()

	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.out == "" || flag.NArg() > 0 || (!o.onlyOverlay && (o.kernelRoot == "" || o.kver == "" || o.init == "")) {
		return fmt.Errorf("-o, and -kernel-root, -kver and -init or else -only-overlay, are needed; see -help")
	}

	t := tree{}

	if !o.onlyOverlay {
		add := t.addNode
		if o.talosInit != "" {
			add = t.addTalos
		}

		if err := add(o); err != nil {
			return err
		}
	}

	for _, overlay := range o.overlays {
		if err := t.addFolder(overlay); err != nil {
			return err
		}
	}

	return t.write(o.out)
}

// entry is a file, folder or link of the archive.
type entry struct {
	mode uint32
	data []byte
}

type tree map[string]entry

func (t tree) file(path string, perm uint32, data []byte) { t[path] = entry{cpio.Regular | perm, data} }

func (t tree) addNode(o options) error {
	init, err := os.ReadFile(o.init)
	if err != nil {
		return err
	}

	t.file("init", 0o755, init)

	for _, dir := range []string{"dev", "etc", "proc", "run", "sys", "system", "tmp", "usr", "var"} {
		t[dir] = entry{cpio.Dir | 0o755, nil}
	}

	t.file("etc/os-release", 0o644, []byte(osRelease(o.version)))

	// Talos' layout: modules live below /usr/lib.
	t["lib"] = entry{cpio.Link | 0o777, []byte("usr/lib")}

	if err := t.addModules(o, atBoot, onCall); err != nil {
		return err
	}

	return t.addExtensions(o.kver, o.extensions)
}

// addTalos is the layout of Talos' own initramfs, with what has to run before its init.
func (t tree) addTalos(o options) error {
	for path, from := range map[string]string{"init": o.init, "talos-init": o.talosInit, "container": o.container, "rootfs.sqsh": o.rootfs} {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}

		t.file(path, 0o755, data)
	}

	for _, dir := range []string{"dev", "proc", "root", "run", "sys", "tmp"} {
		t[dir] = entry{cpio.Dir | 0o755, nil}
	}

	return t.addModules(o, builtIntoTalos, nil)
}

func osRelease(version string) string {
	return fmt.Sprintf("NAME=\"Talos lab stand-in\"\nID=talos-lab-stand-in\nVERSION_ID=%s\nPRETTY_NAME=\"Talos (%s) lab stand-in, not Talos\"\n",
		version, version)
}

func (t tree) addModules(o options, atBoot, onCall []string) error {
	root := filepath.Join(o.kernelRoot, "lib/modules", o.kver)

	index, err := kmod.Scan(root)
	if err != nil {
		return err
	}

	atBoot, err = withoutBuiltIn(root, atBoot)
	if err != nil {
		return err
	}

	boot, err := index.Order(atBoot...)
	if err != nil {
		return fmt.Errorf("in `%s`: %w", root, err)
	}

	all, err := index.Order(slices.Concat(atBoot, onCall, o.modules)...)
	if err != nil {
		return fmt.Errorf("in `%s`: %w", root, err)
	}

	for _, name := range all {
		rel, _ := filepath.Rel(root, index[name])

		data, err := os.ReadFile(index[name])
		if err != nil {
			return err
		}

		t.file(filepath.Join(modulesFolder(o.kver), rel), 0o644, data)
	}

	builtin, err := os.ReadFile(filepath.Join(root, "modules.builtin"))
	if err != nil {
		return err
	}

	// What Talos' loader of modules reads. Nothing here is asked for by an alias.
	t.file(filepath.Join(modulesFolder(o.kver), "modules.dep"), 0o644, t.dependencies(o.kver))
	t.file(filepath.Join(modulesFolder(o.kver), "modules.builtin"), 0o644, builtin)
	t.file(filepath.Join(modulesFolder(o.kver), "modules.alias"), 0o644, nil)
	t.file("etc/lab/modules-at-boot", 0o644, []byte(strings.Join(boot, "\n")+"\n"))

	return nil
}

// withoutBuiltIn leaves out what this kernel has built in: kernels of one distribution differ.
func withoutBuiltIn(root string, names []string) ([]string, error) {
	list, err := os.ReadFile(filepath.Join(root, "modules.builtin"))
	if err != nil {
		return nil, err
	}

	builtIn := map[string]bool{}
	for file := range strings.Lines(string(list)) {
		builtIn[kmod.Name(strings.TrimSpace(file))] = true
	}

	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return builtIn[name] }), nil
}

func (t tree) addFolder(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}

		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}

		info, err := d.Info()
		if err != nil {
			return err
		}

		perm := uint32(info.Mode().Perm())

		switch {
		case d.IsDir():
			t[rel] = entry{cpio.Dir | perm, nil}
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}

			t[rel] = entry{cpio.Link | 0o777, []byte(target)}
		case d.Type().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}

			t.file(rel, perm, data)
		default:
			return fmt.Errorf("`%s` is neither a file nor a folder nor a symbolic link", path)
		}

		return nil
	})
}

// write writes the whole tree in order of its paths; every parent folder comes before what is in it.
func (t tree) write(out string) error {
	for path := range t {
		for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
			if _, ok := t[dir]; !ok {
				t[dir] = entry{cpio.Dir | 0o755, nil}
			}
		}
	}

	paths := make([]string, 0, len(t))
	for path := range t {
		paths = append(paths, path)
	}

	slices.Sort(paths)

	// Beside the target and renamed: a VM that boots in this moment reads the old archive or the new one, never half of one.
	f, err := os.CreateTemp(filepath.Dir(out), ".pack-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck

	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(3)), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}

	archive := cpio.NewWriter(z)

	for _, path := range paths {
		if err = archive.Entry(path, t[path].mode, t[path].data); err != nil {
			return err
		}
	}

	if err = archive.Close(); err != nil {
		return err
	}

	if err = z.Close(); err != nil {
		return err
	}

	if err = f.Chmod(0o644); err != nil {
		return err
	}

	if err = f.Close(); err != nil {
		return err
	}

	return os.Rename(f.Name(), out)
}
