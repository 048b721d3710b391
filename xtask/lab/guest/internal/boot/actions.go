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

// cleanupTime is how long a node on its way down takes for its pods, at least. talosctl drops its subscription when a sequence
// starts and takes it up again a second later (cmd/talosctl/pkg/talos/action/node.go); if the node is gone by then, it
// waits for ever for events that it has missed. A real node takes several seconds.
const cleanupTime = 1500 * time.Millisecond

// stopPhases stop all services but apid and machined, which carry the news of it.
func (m *Machine) stopPhases() []sequencer.Phase {
	var ids []string

	for _, id := range m.Services.IDs() {
		if id != "apid" && id != "machined" {
			ids = append(ids, id)
		}
	}

	return []sequencer.Phase{
		one("cleanup", "stopAllPods", func(ctx context.Context, logger *log.Logger) error {
			logger.Printf("lab stand-in: there are no pods; waiting %s", cleanupTime)

			select {
			case <-ctx.Done():
			case <-time.After(cleanupTime):
			}

			return nil
		}),
		one("stopServices", "stopServicesForUpgrade", func(ctx context.Context, _ *log.Logger) error { return m.Services.Stop(ctx, ids...) }),
	}
}

func (m *Machine) last(phase string, cmd int) sequencer.Phase {
	return one(phase, phase, func(ctx context.Context, _ *log.Logger) error {
		m.Events.Publish(ctx, &machine.RestartEvent{Cmd: int64(cmd)})

		// Whoever follows the events must see the connection end, and not the sequence: see cleanupTime.
		err := m.Services.Stop(ctx, "apid")
		m.end <- end{cmd: cmd}

		return err
	})
}

func (m *Machine) sequence(ctx context.Context, name string, phases []sequencer.Phase) {
	err := m.Seq.Run(ctx, name, phases)
	if err == nil || errors.Is(err, sequencer.ErrLocked) {
		return
	}

	m.end <- end{unix.LINUX_REBOOT_CMD_RESTART, fmt.Errorf("fatal sequencer error in %q sequence: %w", name, err)}
}

// Reboot runs the reboot sequence.
func (m *Machine) Reboot(ctx context.Context, in *machine.RebootRequest) {
	var phases []sequencer.Phase
	if in.GetMode() != machine.RebootRequest_FORCE {
		phases = m.stopPhases()
	}

	m.sequence(ctx, sequencer.Reboot, append(phases, m.last("reboot", unix.LINUX_REBOOT_CMD_RESTART)))
}

// Shutdown runs the shutdown sequence.
func (m *Machine) Shutdown(ctx context.Context, _ *machine.ShutdownRequest) {
	// talosctl's VMs have talos.shutdown=halt: one that powers off ends QEMU, and is started again.
	cmd := unix.LINUX_REBOOT_CMD_POWER_OFF
	if m.Cmdline.First("talos.shutdown") == "halt" {
		cmd = unix.LINUX_REBOOT_CMD_HALT
	}

	m.sequence(ctx, sequencer.Shutdown, append(m.stopPhases(), m.last("shutdown", cmd)))
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
