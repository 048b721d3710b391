// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Command container starts Talos in container mode, as PID 1 of a virtual machine. It gives Talos what Docker gives a container of
// `talosctl cluster create docker`: a network, tmpfs and volumes over a read-only root, and the machine config in the environment.
//
// In the lab itself no container of Talos starts, because this needs CAP_SYS_RESOURCE, which may be withheld from its host.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"golang.org/x/sys/unix"

	"lab.invalid/guest/internal/fetch"
	"lab.invalid/guest/internal/kernel"
	"lab.invalid/guest/internal/netup"
)

const (
	// image is where Talos' root file system is mounted, and root where it is with the rest.
	image = "/image"
	root  = "/root"
	// layer has the files that Docker and the image of a container add.
	layer = "/layer"
	// disk holds the volumes: they outlive a reboot.
	disk   = "/dev/vda"
	volume = "/volumes"

	networkTimeout = time.Minute
	diskTimeout    = 5 * time.Second
)

func main() {
	err := run()

	// The kernel's panic names PID 1's end, not its cause.
	fmt.Fprintln(os.Stderr, "container:", err)
	os.Exit(1)
}

func run() error {
	if err := kernel.MountPseudo(); err != nil {
		return err
	}

	config, err := machineConfig()
	if err != nil {
		return err
	}

	if err = mountRoot(); err != nil {
		return err
	}

	if err = mountVolumes(); err != nil {
		return err
	}

	return become(config)
}

func machineConfig() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), networkTimeout)
	defer cancel()

	if _, _, err := netup.Up(ctx); err != nil {
		return nil, err
	}

	cmdline, err := kernel.ReadCmdline()
	if err != nil {
		return nil, err
	}

	url := cmdline.First(constants.KernelParamConfig)
	if url == "" {
		return nil, fmt.Errorf("%s is not on the kernel command line", constants.KernelParamConfig)
	}

	return fetch.URL(ctx, url, log.Default())
}

// mountRoot makes the root as a container has it: read-only, with the marker that only the container image of Talos has, and the
// files that Docker writes.
func mountRoot() error {
	loop, err := loopDevice("/rootfs.sqsh")
	if err != nil {
		return fmt.Errorf("the root file system: %w", err)
	}

	if err = mount(loop, image, "squashfs", unix.MS_RDONLY, ""); err != nil {
		return err
	}

	marker := filepath.Join(layer, constants.ContainerMarkerFilePath)

	for _, folder := range []string{filepath.Dir(marker), filepath.Join(layer, "etc")} {
		if err = os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}

	if err = os.WriteFile(marker, nil, 0o644); err != nil {
		return err
	}

	for _, file := range netup.Files {
		if err = os.Link(file, filepath.Join(layer, file)); err != nil {
			return err
		}
	}

	return mount("overlay", root, "overlay", unix.MS_RDONLY, "lowerdir="+layer+":"+image)
}

func loopDevice(file string) (string, error) {
	control, err := os.Open("/dev/loop-control")
	if err != nil {
		return "", err
	}
	defer control.Close() //nolint:errcheck

	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", err
	}

	path := fmt.Sprintf("/dev/loop%d", number)

	device, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer device.Close() //nolint:errcheck

	backing, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer backing.Close() //nolint:errcheck

	return path, unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{
		Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY},
	})
}

// mountVolumes mounts what `talosctl cluster create docker` asks Docker for; a new volume has what the image has at its place.
func mountVolumes() error {
	for _, path := range []string{"/run", "/system", "/tmp"} {
		if err := mount("tmpfs", filepath.Join(root, path), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return err
		}
	}

	if err := mountDisk(); err != nil {
		return err
	}

	paths := []string{constants.EphemeralMountPoint, constants.StateMountPoint}
	for _, overlay := range constants.Overlays {
		paths = append(paths, overlay.Path)
	}

	for _, path := range paths {
		from := filepath.Join(volume, strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "-"))

		if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
			if err = fill(from, filepath.Join(image, path)); err != nil {
				return err
			}
		}

		if err := mount(from, filepath.Join(root, path), "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}

	return nil
}

// mountDisk formats a new disk. What is there already is never formatted: the kernel has another error for a damaged file system
// than for none.
func mountDisk() error {
	for end := time.Now().Add(diskTimeout); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(disk); err == nil || time.Now().After(end) {
			break
		}
	}

	if err := mount(disk, volume, "xfs", 0, ""); !errors.Is(err, unix.EINVAL) {
		return err
	}

	// The program and its libraries are in the image; it looks at what is mounted.
	for _, path := range []string{"/dev", "/proc"} {
		at := filepath.Join(image, path)
		if err := mount(path, at, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		defer unix.Unmount(at, unix.MNT_DETACH) //nolint:errcheck
	}

	format := exec.Command("/usr/bin/mkfs.xfs", "-q", "-f", disk)
	format.SysProcAttr = &syscall.SysProcAttr{Chroot: image}
	format.Dir = "/"

	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot format %s: %w: %s", disk, err, out)
	}

	return mount(disk, volume, "xfs", 0, "")
}

// fill makes a volume. A folder that the image does not have is empty.
func fill(to, from string) error {
	if _, err := os.Stat(from); err != nil {
		return os.MkdirAll(to, 0o755)
	}

	// Renamed when it is complete: a node may be switched off at any time.
	half := to + ".half"
	if err := os.RemoveAll(half); err != nil {
		return err
	}

	if err := os.CopyFS(half, os.DirFS(from)); err != nil {
		return err
	}

	return os.Rename(half, to)
}

// become moves the kernel's file systems to the new root and runs Talos there.
func become(config []byte) error {
	for _, path := range []string{"/proc", "/sys", "/dev"} {
		if err := unix.Mount(path, filepath.Join(root, path), "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("cannot move `%s`: %w", path, err)
		}
	}

	if err := unix.Chdir(root); err != nil {
		return err
	}

	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("cannot move the root: %w", err)
	}

	if err := unix.Chroot("."); err != nil {
		return err
	}

	const talos = "/sbin/init"

	return fmt.Errorf("cannot run %s: %w", talos, unix.Exec(talos, []string{talos}, []string{
		"PATH=" + constants.PATH,
		"PLATFORM=container",
		"TALOSSKU=lab",
		"USERDATA=" + base64.StdEncoding.EncodeToString(config),
	}))
}

func mount(source, target, fstype string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil && !errors.Is(err, unix.EROFS) {
		return err
	}

	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("cannot mount %s on `%s`: %w", source, target, err)
	}

	return nil
}
