// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package boot is the life of one node from power-on to reboot(2): it builds the node's parts, runs Talos' sequences over them and
// ends the machine. Imitates internal/app/init/main.go, internal/app/machined/main.go and
// internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_sequencer.go.
//
// It must not print a phase for something that does not happen: each task here does its part for real, if in a small way.
package boot

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/controller/runtime"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"lab.invalid/guest/internal/console"
	"lab.invalid/guest/internal/controllers"
	"lab.invalid/guest/internal/kernel"
	"lab.invalid/guest/internal/node"
	"lab.invalid/guest/internal/pki"
	"lab.invalid/guest/internal/profiling"
	"lab.invalid/guest/internal/resources"
	"lab.invalid/guest/internal/selinux"
	"lab.invalid/guest/internal/sequencer"
	"lab.invalid/guest/internal/services"
	"lab.invalid/guest/internal/store"
)

// Machine is the node with what only its life cycle needs.
type Machine struct {
	*node.Node

	logger *zap.Logger
	store  *store.Store
	faults faults
	ca     *pki.Authority // machine.ca

	end  chan end
	kept []net.Conn // connections that stay open
}

// end is how the machine stops: with a reboot(2) command, or with what went wrong.
type end struct {
	cmd int
	err error
}

// Main runs until the machine is switched off or reset. It never returns in PID 1.
func Main() {
	defer func() {
		if r := recover(); r != nil {
			stop(end{cmd: unix.LINUX_REBOOT_CMD_RESTART, err: fmt.Errorf("recovered from: %+v", r)}, nil)
		}
	}()

	m, err := early()
	if err != nil {
		panic(fmt.Errorf("early boot failed: %w", err))
	}

	how := m.run()
	stop(how, m)
}

// early is what Talos does from its initramfs.
func early() (*Machine, error) {
	if err := kernel.MountPseudo(); err != nil {
		return nil, err
	}

	if err := console.Setup("[talos] [initramfs]", nil); err != nil {
		return nil, err
	}

	cmdline, err := kernel.ReadCmdline()
	if err != nil {
		return nil, err
	}

	m := &Machine{
		Node:   node.New(cmdline, packedVersion()),
		faults: parseFaults(cmdline.All("lab.fault")),
		end:    make(chan end, 8),
	}
	m.Actions = m

	if !selinux.Entered() {
		log.Printf("booting Talos %s (lab stand-in, not Talos)", m.PackedVersion)
		m.faults.panicEarly()
		sayExtensions()
		log.Printf("entering the rootfs")

		// May start this program again, in init's domain, as Talos' init starts machined.
		if err = selinux.Load(); err != nil {
			log.Printf("%s", err)
		}
	}

	if err = console.Setup("[talos]", m.Logs.Open("machined")); err != nil {
		return nil, err
	}

	return m, m.build()
}

// sayExtensions names the extensions whose files are in the initramfs already: an overlay brings the list and the files.
func sayExtensions() {
	var list extensions.Config

	if list.Read(constants.ExtensionsConfigFile) != nil {
		return
	}

	for _, layer := range slices.Backward(list.Layers) {
		log.Printf("enabling system extension %s %s", layer.Metadata.Name, layer.Metadata.Version)
	}
}

// build makes the parts; nothing runs yet.
func (m *Machine) build() error {
	var err error

	if m.State, err = resources.New(context.Background()); err != nil {
		return err
	}

	m.Services = services.New(m.Events, m.State)
	m.Seq = &sequencer.Sequencer{Events: m.Events, BeforePhase: m.faults.beforePhase}
	m.logger = console.Controllers("controller-runtime", m.Logs.Open("controller-runtime"))

	return nil
}

// run brings the node up and waits for its end.
func (m *Machine) run() end {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	go profiling.Serve(ctx, profiling.Machined)
	go m.kernelLog(ctx)
	go m.powerOff(ctx)

	rt, err := controllers.Runtime(m.Node, m.logger)
	if err != nil {
		return end{unix.LINUX_REBOOT_CMD_RESTART, err}
	}

	go m.runControllers(ctx, rt)

	if err = m.bringUp(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return end{unix.LINUX_REBOOT_CMD_RESTART, err}
	}

	return <-m.end
}

func (m *Machine) runControllers(ctx context.Context, rt *runtime.Runtime) {
	if err := rt.Run(ctx); err != nil {
		m.end <- end{unix.LINUX_REBOOT_CMD_RESTART, fmt.Errorf("fatal controller runtime error: %w", err)}
	}
}

func (m *Machine) bringUp(ctx context.Context) error {
	m.loadServices()

	if err := m.Seq.Run(ctx, sequencer.Initialize, m.initializePhases()); err != nil {
		return err
	}

	// There is nothing to install: the sequence is empty, as on a Talos node that is installed already.
	if err := m.Seq.Run(ctx, sequencer.Install, nil); err != nil {
		return err
	}

	if err := m.Services.Start("apid"); err != nil {
		return err
	}

	if err := m.Seq.Run(ctx, sequencer.Boot, m.bootPhases()); err != nil {
		return err
	}

	go m.askOutside(ctx)

	return nil
}

// kernelLog makes the ring buffer readable as a log, as `talosctl logs kernel` expects.
func (m *Machine) kernelLog(ctx context.Context) {
	out := m.Logs.Open("kernel")

	if err := kernel.ReadKmsg(ctx, true, false, kmsgLine(out)); err != nil {
		log.Printf("reading the kernel log failed: %s", err)
	}
}

func packedVersion() string {
	raw, _ := os.ReadFile("/etc/os-release")

	for _, line := range strings.Split(string(raw), "\n") {
		if v, ok := strings.CutPrefix(line, "VERSION_ID="); ok {
			return v
		}
	}

	return "v0.0.0"
}

func newNodeID() string {
	raw := make([]byte, 16)
	rand.Read(raw) //nolint:errcheck

	return hex.EncodeToString(raw)
}

// stop ends the machine the way internal/app/machined/main.go does, with its lines. m is nil if it was never built.
func stop(how end, m *Machine) {
	if how.err != nil {
		log.Print(how.err)

		cmdline, err := kernel.ReadCmdline()
		if err == nil && cmdline.First("panic") == "0" && cmdline.Has("panic") {
			log.Printf("panic=0 kernel flag found, sleeping forever")
			select {}
		}

		for i := 10; i >= 0; i-- {
			log.Printf("rebooting in %d seconds", i)
			time.Sleep(time.Second)
		}
	}

	console.Quiet()

	if m != nil {
		// Real FINs for every connection: other nodes' apid must notice at once.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		m.Services.Stop(ctx, m.Services.IDs()...) //nolint:errcheck
		cancel()
	}

	kernel.UnmountAll()
	log.Printf("waiting for sync...")
	unix.Sync()
	log.Printf("sync done")
	time.Sleep(100 * time.Millisecond) // the network device still has the last FINs to send
	unix.Reboot(how.cmd)               //nolint:errcheck
	select {}
}
