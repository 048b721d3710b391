// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package selinux loads a policy into the kernel, if the initramfs carries one and the kernel was started with SELinux, and moves
// this process into the policy's domain for init. Imitates internal/pkg/selinux/selinux.go.
//
// It must not pretend: without a policy SELinux stays as the kernel has it and selinuxfs stays unmounted, and then the node's
// security state says disabled.
package selinux

import (
	"errors"
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// PolicyFile is where an overlay puts a binary policy; Talos has its own compiled in.
	PolicyFile = "/usr/share/lab/policy"

	mountPoint = "/sys/fs/selinux"
	initDomain = "system_u:system_r:init_t:s0"
	// marker in the environment of the re-executed init.
	marker = "LAB_SELINUX_DOMAIN"
)

// Entered tells whether this is the re-executed init.
func Entered() bool { return os.Getenv(marker) != "" }

// Load returns nil if there is nothing to do. It does not return if it re-executes this program in init's domain.
func Load() error {
	policy, err := os.ReadFile(PolicyFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}

	if err != nil {
		return err
	}

	if _, err = os.Stat(mountPoint); err != nil {
		log.Printf("SELinux: the kernel was not started with it; the policy is not loaded")

		return nil
	}

	if err = unix.Mount("selinuxfs", mountPoint, "selinuxfs", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_RELATIME, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("failed to mount selinuxfs: %w", err)
	}

	log.Printf("loading SELinux policy")

	// One write: the kernel takes each write as a whole policy.
	f, err := os.OpenFile(mountPoint+"/load", os.O_WRONLY, 0)
	if err != nil {
		return err
	}

	n, err := unix.Write(int(f.Fd()), policy)
	f.Close() //nolint:errcheck

	if err != nil || n != len(policy) {
		return fmt.Errorf("failed to load the SELinux policy: %w", err)
	}

	return enterInitDomain()
}

// enterInitDomain: attr/current cannot be changed in a process with threads, which every Go program has, but the context for the
// next exec can be, per thread, and that thread then has to do the exec.
func enterInitDomain() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	if err := os.WriteFile("/proc/thread-self/attr/exec", []byte(initDomain), 0); err != nil {
		log.Printf("SELinux: staying in the kernel's domain: %s", strings.TrimSpace(err.Error()))

		return nil
	}

	if err := unix.Exec("/init", os.Args, append(os.Environ(), marker+"="+initDomain)); err != nil {
		log.Printf("SELinux: staying in the kernel's domain: %s", err)
	}

	return nil
}
