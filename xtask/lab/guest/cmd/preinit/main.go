// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Command preinit is /init of a real node's initramfs. Talos' own kernel has built in what Debian's has as modules: preinit loads
// those, then becomes Talos' init, or with the kernel argument PLATFORM=container what stands for Docker.
//
// It must not do anything else: what a node does from here on is Talos.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"lab.invalid/guest/internal/kmod"
)

const (
	modulesAtBoot = "/etc/lab/modules-at-boot"
	talosInit     = "/talos-init"
	container     = "/container"
)

func main() {
	if err := loadModules(); err != nil {
		fmt.Fprintln(os.Stderr, "preinit:", err)
	}

	program, arg0 := talosInit, "/init"
	// The kernel makes variables of those arguments that it does not know.
	if os.Getenv("PLATFORM") == "container" {
		program, arg0 = container, container
	}

	err := unix.Exec(program, []string{arg0}, os.Environ())

	// The kernel's panic names PID 1's end, not its cause.
	fmt.Fprintf(os.Stderr, "preinit: cannot run %s: %v\n", program, err)
	os.Exit(1)
}

// A module that the kernel refuses is reported, and the others are still tried.
func loadModules() error {
	list, err := os.ReadFile(modulesAtBoot)
	if err != nil {
		return err
	}

	index, err := kmod.Scan("/usr/lib/modules")
	if err != nil {
		return err
	}

	for _, name := range strings.Fields(string(list)) {
		if err = index.Load(name); err != nil {
			fmt.Fprintf(os.Stderr, "preinit: module %s: %v\n", name, err)
		}
	}

	return nil
}
