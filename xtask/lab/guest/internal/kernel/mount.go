// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package kernel

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

type mountPoint struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

// The file systems that a Talos node has before anything else runs (internal/pkg/mount/v3/pseudo.go), without those that need
// more than an initramfs.
var pseudo = []mountPoint{
	{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
	{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "ptmxmode=000,mode=620,gid=5"},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "size=64M,mode=0755"},
	{"tmpfs", "/system", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV | unix.MS_RELATIME, "nsdelegate"},
	{"securityfs", "/sys/kernel/security", "securityfs", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
	{"debugfs", "/sys/kernel/debug", "debugfs", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
	{"tracefs", "/sys/kernel/tracing", "tracefs", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
}

// MountPseudo mounts proc, sys, dev and their kin. What is mounted already stays: a re-executed init calls this again.
func MountPseudo() error {
	for _, m := range pseudo {
		if err := os.MkdirAll(m.target, 0o755); err != nil && m.source != "securityfs" && m.source != "debugfs" && m.source != "tracefs" {
			return fmt.Errorf("cannot make `%s`: %w", m.target, err)
		}

		err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data)

		switch {
		case err == nil, errors.Is(err, unix.EBUSY):
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
			// A kernel without securityfs, debugfs or tracefs does not stop the boot.
		default:
			return fmt.Errorf("cannot mount `%s`: %w", m.target, err)
		}
	}

	return nil
}

// UnmountAll is the last thing before reboot(2): nothing here is on disk, so it only has to try.
func UnmountAll() {
	for i := len(pseudo) - 1; i >= 0; i-- {
		if t := pseudo[i].target; t != "/proc" && t != "/dev" && t != "/sys" {
			unix.Unmount(t, unix.MNT_DETACH) //nolint:errcheck
		}
	}
}
