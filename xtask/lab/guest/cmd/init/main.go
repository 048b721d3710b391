// Command init is PID 1 of the lab's stand-in node: Talos-shaped for talosctl and for eyes on a console, and not Talos. As `apid`
// and `trustd` (argv[0], as in Talos) it is also the two services that are processes of their own.
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
