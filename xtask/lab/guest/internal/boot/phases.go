// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package boot

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"golang.org/x/sys/unix"

	"lab.invalid/guest/internal/controllers"
	"lab.invalid/guest/internal/kmod"
	"lab.invalid/guest/internal/node"
	"lab.invalid/guest/internal/sequencer"
)

const firstBootPhase = "memorySizeCheck"

// bootTimeout as in Talos (constants.BootTimeout): until then a control plane waits for its bootstrap.
const bootTimeout = 70 * time.Minute

func one(phase, task string, run func(context.Context, *log.Logger) error) sequencer.Phase {
	return sequencer.Phase{Name: phase, Tasks: []sequencer.Task{{Name: task, Run: run}}}
}

// initializePhases bring the node to its machine config.
func (m *Machine) initializePhases() []sequencer.Phase {
	return []sequencer.Phase{
		one("systemRequirements", "enforceKSPPRequirements", m.kspp),
		{Name: "earlyServices", Tasks: []sequencer.Task{
			{Name: "startUdevd", Run: m.loadModules}, {Name: "startMachined", Run: m.startMachined}, {Name: "startAuditd", Run: m.startAuditd},
		}},
		one("meta", "reloadMeta", m.openStore),
		one("config", "loadConfig", m.loadConfig),
	}
}

// bootPhases apply the machine config.
func (m *Machine) bootPhases() []sequencer.Phase {
	return []sequencer.Phase{
		one(firstBootPhase, "memorySizeCheck", m.memorySizeCheck),
		one("diskSizeCheck", "diskSizeCheck", m.diskSizeCheck),
		one("env", "setUserEnvVars", m.setUserEnvVars),
		one("ephemeral", "mountEphemeralPartition", m.mountEphemeral),
		one("userSetup", "writeUserFiles", m.writeUserFiles),
		one("startEverything", "startAllServices", m.startAllServices),
	}
}

// kspp: Talos refuses to boot without these two (pkg/kernel/kspp).
func (m *Machine) kspp(context.Context, *log.Logger) error {
	if !m.Cmdline.Has("slab_nomerge") {
		return errors.New("KSPP kernel parameter slab_nomerge is required")
	}

	if v := m.Cmdline.First("pti"); v != "on" {
		return fmt.Errorf("KSPP kernel parameter pti was found with value %s, expected on", v)
	}

	return nil
}

// loadModules loads what the initramfs was packed to load at boot. In Talos udevd does that by the devices' aliases.
func (m *Machine) loadModules(_ context.Context, logger *log.Logger) error {
	index, err := kmod.Scan(controllers.ModuleFolders()...)
	if err != nil {
		return err
	}

	for _, name := range strings.Fields(node.ReadLine("/etc/lab/modules-at-boot")) {
		if err = index.Load(name); err != nil {
			logger.Printf("error loading module: %s", err)
		}
	}

	go m.network()

	return nil
}

func (m *Machine) startMachined(ctx context.Context, _ *log.Logger) error {
	if err := m.Services.Start("machined"); err != nil {
		return err
	}

	return m.Services.WaitUp(ctx, "machined")
}

func (m *Machine) startAuditd(ctx context.Context, _ *log.Logger) error {
	m.Logs.Open("auditd")

	if m.Cmdline.First("talos.auditd.disabled") == "1" {
		return nil
	}

	return m.Services.Start("auditd")
}

// Least memory by machine type, from pkg/minimal: a warning, not an error.
func (m *Machine) memorySizeCheck(_ context.Context, logger *log.Logger) error {
	mem, err := node.Meminfo()
	if err != nil {
		return err
	}

	least := uint64(1024-150) << 10
	if m.Config().Machine().Type() != machine.TypeWorker {
		least = (1848 - 150) << 10
	}

	if total := mem["MemTotal"]; total < least {
		logger.Printf("WARNING: memory size is less than recommended: %d MiB of %d MiB", total>>10, least>>10)
	} else {
		logger.Printf("memory size is OK: %d MiB", total>>10)
	}

	return nil
}

func (m *Machine) diskSizeCheck(_ context.Context, logger *log.Logger) error {
	if m.store.Path == "" {
		logger.Printf("WARNING: there is no system disk: this node forgets everything at a reboot")

		return nil
	}

	logger.Printf("system disk `%s` has %s sectors", m.store.Path, node.ReadLine("/sys/class/block/"+filepath.Base(m.store.Path)+"/size"))

	return nil
}

func (m *Machine) setUserEnvVars(context.Context, *log.Logger) error {
	for key, value := range m.Config().Machine().Env() {
		if err := os.Setenv(key, value); err != nil {
			return err
		}
	}

	return nil
}

// mountEphemeral gives the node a /var. It is memory: nothing of it outlives a boot.
func (m *Machine) mountEphemeral(context.Context, *log.Logger) error {
	if err := os.MkdirAll("/var", 0o755); err != nil {
		return err
	}

	if err := unix.Mount("tmpfs", "/var", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil && !errors.Is(err, unix.EBUSY) {
		return err
	}

	return os.MkdirAll("/var/log", 0o755)
}

// writeUserFiles writes machine.files; like Talos only below /var and /etc/cri, and only op create, append or overwrite.
func (m *Machine) writeUserFiles(_ context.Context, logger *log.Logger) error {
	files, err := m.Config().Machine().Files()
	if err != nil {
		return err
	}

	for _, f := range files {
		if !strings.HasPrefix(f.Path(), "/var/") && !strings.HasPrefix(f.Path(), "/etc/cri/") {
			return fmt.Errorf("create operation not allowed outside of /var: %q", f.Path())
		}

		flags := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
		if f.Op() == "append" {
			flags = os.O_CREATE | os.O_WRONLY | os.O_APPEND
		}

		if err = os.MkdirAll(filepath.Dir(f.Path()), 0o755); err != nil {
			return err
		}

		out, err := os.OpenFile(f.Path(), flags, f.Permissions())
		if err != nil {
			return err
		}

		_, err = out.WriteString(f.Content())
		if err = errors.Join(err, out.Close()); err != nil {
			return err
		}

		logger.Printf("wrote `%s`", f.Path())
	}

	return nil
}

// startAllServices starts the rest and waits for all: on a control plane that includes the bootstrap.
func (m *Machine) startAllServices(ctx context.Context, _ *log.Logger) error {
	if err := m.waitOutside(ctx); err != nil {
		return err
	}

	ids := []string{"kubelet"}
	if m.ControlPlane() {
		ids = append(ids, "etcd", "trustd")
	}

	if err := m.Services.Start(ids...); err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()

	return m.Services.WaitUp(ctx, append(ids, "machined", "apid")...)
}
