// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package boot

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"golang.org/x/sys/unix"

	"lab.invalid/guest/internal/sequencer"
	"lab.invalid/guest/internal/store"
)

// talosctl drops its subscription to the events when a sequence starts and takes it up again a second later
// (cmd/talosctl/pkg/talos/action/node.go in Talos); if the node is gone by then, it waits without a limit for events that it has missed.
// A real node takes several seconds to go down. This one waits for those who followed it, but not longer than this.
const patience = 6 * time.Second

// stopPhases stop all services but apid and machined, which carry the news of it.
func (m *Machine) stopPhases() []sequencer.Phase {
	var ids []string

	for _, id := range m.Services.IDs() {
		if id != "apid" && id != "machined" {
			ids = append(ids, id)
		}
	}

	followers, before := m.Events.Followers()

	return []sequencer.Phase{
		one("cleanup", "stopAllPods", func(ctx context.Context, logger *log.Logger) error {
			logger.Printf("lab stand-in: there are no pods; %d client(s) follow the events", followers)

			for deadline := time.Now().Add(patience); ctx.Err() == nil && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
				if _, ever := m.Events.Followers(); ever-before >= followers {
					break
				}
			}

			return nil
		}),
		one("stopServices", "stopServicesForUpgrade", func(ctx context.Context, _ *log.Logger) error { return m.Services.Stop(ctx, ids...) }),
	}
}

// last is the phase that ends the machine. Talos publishes a RestartEvent in it, after apid is gone; older clients do not know
// that event, so it is left out here, where apid goes last.
func (m *Machine) last(phase string) sequencer.Phase {
	return one(phase, phase, func(ctx context.Context, _ *log.Logger) error {
		// A client that follows the events must see the connection end, and not the sequence: see patience.
		if err := m.Services.Stop(ctx, "apid"); err != nil {
			return err
		}

		return sequencer.ErrEnd
	})
}

// sequence runs one that was asked for, and ends the machine if it ends with that or fails.
func (m *Machine) sequence(ctx context.Context, name string, phases []sequencer.Phase, cmd int) {
	err := m.Seq.Run(ctx, name, phases)

	switch {
	case err == nil, errors.Is(err, sequencer.ErrLocked):
	case errors.Is(err, sequencer.ErrEnd):
		m.end <- end{cmd: cmd}
	default:
		m.end <- end{unix.LINUX_REBOOT_CMD_RESTART, fmt.Errorf("fatal sequencer error in %q sequence: %w", name, err)}
	}
}

// Reboot runs the reboot sequence.
func (m *Machine) Reboot(ctx context.Context, in *machine.RebootRequest) {
	var phases []sequencer.Phase
	if in.GetMode() != machine.RebootRequest_FORCE {
		phases = m.stopPhases()
	}

	m.sequence(ctx, sequencer.Reboot, append(phases, m.last("reboot")), unix.LINUX_REBOOT_CMD_RESTART)
}

// Shutdown runs the shutdown sequence.
func (m *Machine) Shutdown(ctx context.Context, _ *machine.ShutdownRequest) {
	// talosctl's VMs have talos.shutdown=halt: one that powers off ends QEMU, and is started again.
	cmd := unix.LINUX_REBOOT_CMD_POWER_OFF
	if m.Cmdline.First("talos.shutdown") == "halt" {
		cmd = unix.LINUX_REBOOT_CMD_HALT
	}

	// talosctl takes the beginning of this task for the shutdown itself. A reboot has none: there talosctl would drop its
	// subscription once more (see patience).
	everything := one("stopEverything", "stopAllServices", func(ctx context.Context, _ *log.Logger) error { return m.Services.Stop(ctx, "apid") })

	m.sequence(ctx, sequencer.Shutdown, append(m.stopPhases(), everything, m.last("shutdown")), cmd)
}

// Bootstrap makes this node the first member of etcd; the others join when they hear of it.
func (m *Machine) Bootstrap() error {
	m.Peers.SetBootstrapped()

	return nil
}

// Apply takes a new machine config (internal/app/machined/internal/server/v1alpha1/v1alpha1_server.go, modes as there). What
// the running node does with it is what its controllers do: modules are loaded, the version changes, and so on.
func (m *Machine) Apply(ctx context.Context, in *machine.ApplyConfigurationRequest) (*machine.ApplyConfiguration, error) {
	provider, err := configloader.NewFromBytes(in.GetData())
	if err != nil {
		return nil, err
	}

	if !provider.CompleteForBoot() {
		return nil, errors.New("the machine config is not complete")
	}

	reply := &machine.ApplyConfiguration{Mode: in.GetMode()}

	if in.GetDryRun() {
		reply.ModeDetails = "Dry run summary:\nApplied configuration without a reboot (skipped in dry-run).\n"

		return reply, nil
	}

	if in.GetMode() == machine.ApplyConfigurationRequest_TRY {
		return nil, errors.New("mode try is not imitated by the lab's stand-in")
	}

	if err = m.store.Update(func(r *store.Record) { r.Config = in.GetData() }); err != nil {
		return nil, err
	}

	switch in.GetMode() {
	case machine.ApplyConfigurationRequest_STAGED:
		reply.ModeDetails = "Staged configuration to be applied after the next reboot"

		return reply, nil
	case machine.ApplyConfigurationRequest_REBOOT:
		reply.ModeDetails = "Applied configuration with a reboot"

		go m.Reboot(context.Background(), &machine.RebootRequest{})

		return reply, nil
	}

	reply.Mode = machine.ApplyConfigurationRequest_NO_REBOOT
	reply.ModeDetails = "Applied configuration without a reboot"

	return reply, m.useConfig(provider)
}
