// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Command init is PID 1 of the lab's stand-in node: Talos-shaped for talosctl and for eyes on a console, and not Talos. As `apid`
// and `trustd` (argv[0], as in Talos) it is also the two services that are processes of their own.
//
// # What is real
//
// The kernel, its modules (loaded by finit_module with whatever the kernel says to that), its log, /proc and /sys; DHCP; the
// machine config from talos.config= and everything it is asked for below; certificates from the config's own CAs; apid's
// forwarding between nodes; trustd's signing; COSI resources filled by controllers on COSI's own runtime; net/http/pprof of
// three processes (9981 apid, 9982 machined, 9983 trustd, the last on control planes only); the ACPI power button, which shuts the
// node down; SELinux and its audit records, with `security=selinux audit=1` and a policy at /usr/share/lab/policy.
//
// # What stands in for something
//
// etcd is a flag that the control planes tell each other; Kubernetes is a handful of answers (internal/kube); there are no
// containers, no installer, no partitions: a record on the system disk (internal/store) keeps what must outlive a reboot. Every
// free text says `lab stand-in`. An API call with nothing behind it is Unimplemented.
//
// # From outside
//
//	/extensions.yaml, /etc/extensions.yaml  list of system extensions, as Talos' initramfs has it: `get extensions`
//	/usr/lib/modules/VERSION, /lib/modules/VERSION  *.ko of overlays: `machine.kernel.modules` loads them by file name
//	/usr/share/lab/policy                   binary SELinux policy, loaded at boot
//	/var/lab/requests                       what the node asks the network for, by `machine.files` (internal/boot/outside.go)
//	/run/lab/upgrades.json                  every upgrade that was asked for, over reboots (`talosctl read`)
//
// An overlay is a folder given to `pack -overlay`, or an archive of `pack -only-overlay` put behind the initramfs.
//
// # Faults, by kernel argument
//
//	lab.fault=panic-early       init panics before anything else: failure lines, countdown, reboot, without end
//	lab.fault=kernel-panic      a real kernel panic when the boot sequence begins
//	lab.fault=slow-boot=N       N seconds before the first phase of the boot sequence (the API is up meanwhile)
//	lab.fault=out-of-memory     a process takes all memory when the boot sequence begins, until the kernel kills it
//	lab.fault=hang-phase=NAME   the phase begins and never ends; a reboot through the API still works
//	lab.fault=no-ready          everything works, and the node never becomes ready
//	lab.fault=strict-pull       an upgrade fails if no registry has its image
//	lab.upgrade-without-reboot  an upgrade through MachineService ends without its reboot
//
// lab.fault may be given several times.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"lab.invalid/guest/internal/apid"
	"lab.invalid/guest/internal/boot"
	"lab.invalid/guest/internal/proc"
	"lab.invalid/guest/internal/profiling"
	"lab.invalid/guest/internal/trustd"
)

func main() {
	profiling.SetRates()

	switch filepath.Base(os.Args[0]) {
	case "apid":
		service(profiling.APID, func(ctx context.Context) error { return apid.Run(ctx, os.Stdin) })
	case "trustd":
		service(profiling.Trustd, func(ctx context.Context) error { return trustd.Run(ctx, os.Stdin) })
	case boot.Hog:
		boot.TakeAllMemory()
	default:
		if os.Getpid() != 1 {
			log.Fatal("this is the lab's init: it only runs as PID 1 of a virtual machine")
		}

		go proc.Reap()

		boot.Main()
	}
}

func service(port int, run func(context.Context) error) {
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer cancel()

	go profiling.Serve(ctx, port)

	if err := run(ctx); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}
